"""The page of ``v2drop eval``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.records import DENSE, DUMMY, RANDOM
from v2drop_cli.records.evaluation import ArmScores, Evaluation
from v2drop_cli.records.journal import RowResult
from v2drop_cli.report.eval_finding import finding, per_cent
from v2drop_cli.report.eval_view import BY_GROUP, FIDELITY, broken_facts, build_eval_view, footer
from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.front_chart import FrontChart, Kind, Spot, drawn_front
from v2drop_cli.report.html.markup import Child, Markup
from v2drop_cli.report.html.page import Page, Part
from v2drop_cli.report.html.parted_rows import parted_cards
from v2drop_cli.report.html.tables import (
    command,
    environment,
    facts,
    glance_table,
    section_table,
)
from v2drop_cli.report.terms import AGREEMENT, FRONT, ROW_SPEEDUP, SCORE
from v2drop_cli.report.text import clean
from v2drop_cli.report.view import Cell, Section, View
from v2drop_cli.units import format_count, format_seconds

if TYPE_CHECKING:
    from v2drop_cli.tasks.rows import Row

MOST_BROKEN = 200
"""Broken rows that the page lists; the document in it has all."""


@dataclass(frozen=True, slots=True)
class Parted:
    """Rows at which an arm's answer is not dense's, and the questions of those shown."""

    rows: Sequence[RowResult] = ()
    questions: Mapping[int, Row] | None = None


def eval_to_html(found: Evaluation, parted: Parted | None = None) -> str:
    """The whole file; without ``parted`` no answers are shown."""
    view = build_eval_view(found)
    return Page(
        title=f"v2drop eval: {clean(found.request.model)}, {clean(found.data.name)}",
        finding=Cell(*finding(found)),
        head=facts(view.facts),
        parts=[part for part in _parts(found, view, parted or Parted()) if part.body],
        document=found.dumps(),
        file_name="evaluation.json",
    ).html()


def _parts(found: Evaluation, view: View, parted: Parted) -> Iterator[Part]:
    glance: Child = None if view.glance is None else glance_table(view.glance)
    groups, fidelity = _named(view, BY_GROUP), _named(view, FIDELITY)
    others = [section for section in view.sections if section.title not in (BY_GROUP, FIDELITY)]
    broken = facts(broken_facts(found, MOST_BROKEN)) if found.broken else None
    yield Part("glance", "At a glance", glance)
    yield Part("front", "Quality against time", _front(found))
    yield Part("fidelity", FIDELITY, _tables(view, fidelity))
    cards = parted_cards(found, parted.rows, parted.questions or {})
    yield Part("answers", "Where answers part from dense", cards)
    yield Part("groups", BY_GROUP, _tables(view, groups), folded=True)
    yield Part("numbers", "Tokens, times and details", _tables(view, others), folded=True)
    yield Part("broken", "Rows that could not be asked", broken, folded=True)
    reading = facts(footer(found, named=0))
    yield Part("measured", "How it was measured", [reading, command(found.command)])
    yield Part("environment", "Environment", environment(found.environment), folded=True)


def _named(view: View, title: str) -> list[Section]:
    return [section for section in view.sections if section.title == title]


def _tables(view: View, sections: Sequence[Section]) -> list[Markup]:
    return [section_table(view, section) for section in sections]


def _front(found: Evaluation) -> Markup | None:
    """Score, or else fidelity, against time; nothing of dummy weights, whose answers mean nothing.

    Against tokens where an arm has no time.
    """
    if found.request.weights == DUMMY:
        return None
    scored = all(arm.score is not None for arm in found.arms)
    timed = all(arm.prefill_s for arm in found.arms)
    spots = [_spot(arm, scored, timed) for arm in found.arms]
    known = [spot for spot in spots if spot is not None]
    name, words = (SCORE, "score") if scored else (AGREEMENT, "likeliest token agrees")
    across = "median prefill" if timed else "vision tokens, layer average"
    note = [
        "Up is better, left is cheaper. The dashed line is the ",
        link(FRONT, "front"),
        "; the diamond is dense, a hollow spot random selection",
        ", a stroke the interval of the score" if scored else "",
        ". Times have no interval here: ",
        link(ROW_SPEEDUP, "each row is timed once"),
        ".",
    ]
    title: Child = [link(name, words), f" against {across}"]
    written = format_seconds if timed else format_count
    return drawn_front(FrontChart(title, known, written, per_cent, note))


def _spot(arm: ArmScores, scored: bool, timed: bool) -> Spot | None:
    cost = arm.prefill_s if timed else arm.layer_average_vision_tokens
    kind: Kind = "dense" if arm.label == DENSE else "random" if arm.method == RANDOM else "arm"
    if cost is None:
        return None
    if scored and arm.score is not None:
        return Spot(clean(arm.label), cost, arm.score.mean, arm.score.ci95, kind)
    if arm.fidelity is None:
        return None
    return Spot(clean(arm.label), cost, arm.fidelity.agreement, None, kind)
