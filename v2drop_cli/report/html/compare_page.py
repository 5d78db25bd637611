"""The page of ``v2drop compare``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from v2drop_cli.records import Report
from v2drop_cli.records.changes import ArmChanges, Changes
from v2drop_cli.records.metrics import metric
from v2drop_cli.report.claims import TONES
from v2drop_cli.report.compare_view import build_changes_view, ratio_words
from v2drop_cli.report.html.answer_cards import Shown, side_by_side
from v2drop_cli.report.html.charts import Chart, Lane, Mark, Scale, drawn
from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.markup import Child, Markup, tag
from v2drop_cli.report.html.page import Page, Part
from v2drop_cli.report.html.tables import command, facts, section_tables
from v2drop_cli.report.terms import NOISE
from v2drop_cli.report.text import clean
from v2drop_cli.report.view import Cell, View
from v2drop_cli.units import format_ratio

NOTHING_FOUND = "nothing was compared."


def changes_to_html(
    found: Changes, reports: tuple[Report, Report], called: str | None = None
) -> str:
    """The whole file.

    Args:
        found: what A and B say of each other.
        reports: A and B, for the answers.
        called: the command line that compared them.
    """
    view = build_changes_view(found)
    return Page(
        title=f"v2drop compare: {clean(found.b.model)}",
        finding=view.finding or Cell(NOTHING_FOUND),
        head=facts(view.facts),
        parts=[part for part in _parts(found, view, reports, called) if part.body],
        document=found.dumps(),
        file_name="changes.json",
    ).html()


def _parts(
    found: Changes, view: View, reports: tuple[Report, Report], called: str | None
) -> Iterator[Part]:
    charts = [drawn(chart) for chart in _charts(found)]
    yield Part("changes", "B against A", tag("div", charts, class_="long") if charts else None)
    yield Part("answers", "Answers", _answers(found, reports))
    yield Part("numbers", "All numbers", section_tables(view, alike=True), folded=True)
    yield Part("measured", "How it was judged", [facts(view.footer), command(called)])


def _charts(found: Changes) -> Iterator[Chart]:
    """One an arm: each quantity of B over A, and what counts as no change."""
    for arm in found.arms:
        lanes = list(_lanes(arm, found.margin))
        reached = [1.0, *(end for lane in lanes for mark in lane.marks for end in _ends(mark))]
        if not lanes:
            continue
        note = [
            "Left of the line at 1x B takes less. The grey band is the ",
            link(NOISE, "noise floor"),
            " and the margin within which the two count as the same.",
        ]
        yield Chart(clean(arm.label), lanes, Scale.around(reached), format_ratio, note=note)


def _lanes(arm: ArmChanges, margin: float) -> Iterator[Lane]:
    for change in arm.changes:
        if change.ratio is None:
            continue
        noise = change.noise or (1.0, 1.0)
        band = (min(1 / (1 + margin), noise[0]), max(1 + margin, noise[1]))
        tone = TONES.get(change.verdict, "plain")
        marks = [Mark("band", *band), Mark("tick", 1.0, 1.0, "one")]
        if change.ci95 is not None:
            marks.append(Mark("whisker", *change.ci95, look=tone))
        marks.append(Mark("point", change.ratio, change.ratio, tone))
        label = link(change.metric, metric(change.metric).label)
        yield Lane(label, f"{ratio_words(change)}, {change.verdict}", tuple(marks))


def _ends(mark: Mark) -> tuple[float, float]:
    return mark.start, mark.end


def _answers(found: Changes, reports: tuple[Report, Report]) -> Child:
    texts = [_texts(report) for report in reports]
    return [_pair(arm, *texts) for arm in found.arms]


def _texts(report: Report) -> Mapping[str, str]:
    return {arm.label: clean(arm.answer.text, lines=True) for arm in report.arms}


def _pair(arm: ArmChanges, a: Mapping[str, str], b: Mapping[str, str]) -> Markup | None:
    """Nothing for an arm that an older report calls otherwise."""
    if arm.label not in a or arm.label not in b:
        return None
    tone = TONES.get(arm.answers, "bad")
    shown = Shown("B", b[arm.label], arm.answers, tone)
    cards = side_by_side(Shown("A", a[arm.label]), [shown])
    return tag("div", tag("h3", clean(arm.label)), cards, class_="arm")
