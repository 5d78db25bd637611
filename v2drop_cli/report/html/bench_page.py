"""The page of a report of ``run`` or ``profile``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from v2drop_cli.records import DUMMY, ArmResult, Report
from v2drop_cli.report import wording
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.finding import NO_ANSWERS
from v2drop_cli.report.html import bench_charts
from v2drop_cli.report.html.answer_cards import Shown, side_by_side
from v2drop_cli.report.html.charts import Chart, drawn
from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.end_to_end import with_end_to_end
from v2drop_cli.report.html.kept_panel import kept_panel
from v2drop_cli.report.html.markup import Child, lines, tag
from v2drop_cli.report.html.page import Page, Part
from v2drop_cli.report.html.tables import (
    command,
    environment,
    facts,
    glance_table,
    section_tables,
)
from v2drop_cli.report.kept_svg import Pictures
from v2drop_cli.report.terms import SPEEDUP
from v2drop_cli.report.text import clean
from v2drop_cli.report.view import Cell, View

NOTHING_COMPARED = "one arm, so that nothing is compared."


def to_html(report: Report, pictures: Pictures | None = None) -> str:
    """The whole file.

    Args:
        report: all that is said.
        pictures: data URIs of the media, to lie under their kept tokens.
    """
    view = build_view(report)
    return Page(
        title=f"v2drop: {clean(report.request.model)}",
        finding=view.finding or Cell(NOTHING_COMPARED),
        head=facts(view.facts),
        parts=[part for part in _parts(report, view, pictures) if part.body],
        document=report.dumps(),
        file_name="report.json",
    ).html()


def _parts(report: Report, view: View, pictures: Pictures | None) -> Iterator[Part]:
    yield Part("glance", "At a glance", _glance(report, view))
    yield Part("answers", "Answers", _answers(report, view))
    yield Part("stages", "Time", _charts([bench_charts.waterfall(report)]))
    yield Part("speed-up", "Speed-up", _charts(bench_charts.speedups(report), "long"))
    yield Part("memory", "Memory", _charts(bench_charts.memory(report), "long"))
    yield Part("kept", "Kept tokens", kept_panel(report, pictures))
    yield Part("samples", "Samples", _charts(bench_charts.samples(report)), folded=True)
    yield Part("numbers", "All numbers", section_tables(view), folded=True)
    yield Part("measured", "How it was measured", [facts(view.footer), command(report.command)])
    yield Part("environment", "Environment", environment(report.environment), folded=True)


def _glance(report: Report, view: View) -> Child:
    if view.glance is None:
        return None
    told = with_end_to_end(view.glance, report)
    note: list[Child] = [
        "A ratio is formed inside each round, and its median taken: it is ",
        link(SPEEDUP, "near the quotient of the two medians"),
        ", not equal to it.",
    ]
    if told is not view.glance:
        note.append(" End to end has its median time too, and no verdict.")
    return [glance_table(told), tag("p", note, class_="note"), facts(view.notes)]


def _charts(found: Iterable[Chart | None], look: str | None = None) -> Child:
    charts = [drawn(chart) for chart in found if chart is not None]
    return tag("div", charts, class_=look) if charts else None


def _answers(report: Report, view: View) -> Child:
    """The reference's first; what each is against it is the view's own cell."""
    cells = {arm.label: _verdict(view, at) for at, arm in enumerate(report.arms)}
    first = report.comparisons[0].reference if report.comparisons else report.arms[0].label
    [reference] = [arm for arm in report.arms if arm.label == first]
    others = [arm for arm in report.arms if arm.label != first]
    note = tag("p", NO_ANSWERS, class_="warn") if report.request.weights == DUMMY else None
    shown = [_shown(arm, cells[arm.label]) for arm in (reference, *others)]
    return [note, side_by_side(shown[0], shown[1:])]


def _verdict(view: View, at: int) -> Cell | None:
    rows = [row for section in view.sections for row in section.rows]
    return next((row.cells[at] for row in rows if row.about == "token_agreement"), None)


def _shown(arm: ArmResult, verdict: Cell | None) -> Shown:
    text = clean(arm.answer.text, lines=True)
    name = lines(wording.arm_label(arm))
    return Shown(name, text) if verdict is None else Shown(name, text, verdict.text, verdict.tone)
