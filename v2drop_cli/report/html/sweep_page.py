"""The page of ``v2drop sweep``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from v2drop_cli.records.curves import Curve, Point, Sweep
from v2drop_cli.report.html.charts import Chart, Lane, Mark, Scale, drawn
from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.line_chart import Line, LineChart, drawn_lines
from v2drop_cli.report.html.markup import Child, Markup
from v2drop_cli.report.html.page import Page, Part
from v2drop_cli.report.html.tables import (
    command,
    environment,
    facts,
    glance_table,
    section_tables,
)
from v2drop_cli.report.sweep_finding import sweep_finding
from v2drop_cli.report.sweep_view import build_sweep_view
from v2drop_cli.report.sweep_words import sized
from v2drop_cli.report.terms import RATE, SERVED
from v2drop_cli.report.text import clean
from v2drop_cli.report.view import Cell, View
from v2drop_cli.units import format_bytes, format_rate, format_seconds


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What charts show of a point.

    Attributes:
        term: what the title leads to.
        value: the number.
        words: how that is written.
        curve: whether it has a line over the sizes, beside its bars.
    """

    title: str
    term: str
    value: Callable[[Point], float | None]
    words: Callable[[float], str]
    curve: bool = False


def _bytes(value: float) -> str:
    return format_bytes(round(value))


_SHOWN = (
    _Quantity("Prefill", "prefill", lambda point: point.prefill, format_seconds, True),
    _Quantity("Decode, per token", "decode", lambda point: point.decode, format_seconds),
    _Quantity("Tokens a second", RATE, lambda point: point.tokens_per_s, format_rate),
    _Quantity("Requests a second", SERVED, lambda point: point.requests_per_s, format_rate, True),
    _Quantity("Peak memory", "peak_memory", lambda point: point.peak_bytes, _bytes, True),
)


def sweep_to_html(sweep: Sweep) -> str:
    """The whole file, made from the document alone."""
    view = build_sweep_view(sweep)
    return Page(
        title=f"v2drop sweep: {clean(sweep.request.model)}",
        finding=Cell(*sweep_finding(sweep)),
        head=facts(view.facts),
        parts=[part for part in _parts(sweep, view) if part.body],
        document=sweep.dumps(),
        file_name="sweep.json",
    ).html()


def _parts(sweep: Sweep, view: View) -> Iterator[Part]:
    glance: Child = None if view.glance is None else glance_table(view.glance)
    yield Part("growth", "How it grows, and what fits", [glance, facts(view.notes)])
    yield Part("curves", "Curves", [chart for chart in _curves(sweep) if chart])
    yield Part("sizes", "Size by size", [drawn(chart) for chart in _charts(sweep)], folded=True)
    yield Part("numbers", "All numbers", section_tables(view), folded=True)
    yield Part("measured", "How it was measured", [facts(view.footer), command(sweep.command)])
    yield Part("environment", "Environment", environment(sweep.environment), folded=True)


def _curves(sweep: Sweep) -> Iterator[Markup | None]:
    """What exponents are of, and requests a second: over logarithmic axes."""
    for shown in (each for each in _SHOWN if each.curve):
        known = [
            [(point.size, value) for point in curve.measured if (value := shown.value(point))]
            for curve in sweep.curves
        ]
        pairs = zip(sweep.curves, known, strict=True)
        yield drawn_lines(
            LineChart(
                link(shown.term, shown.title),
                [Line(clean(curve.label), points) for curve, points in pairs],
                lambda size: sized(sweep.dimension, round(size)),
                shown.words,
                note="Both axes are logarithmic: the steeper a line, the larger its exponent.",
            )
        )


def _charts(sweep: Sweep) -> Iterator[Chart]:
    for shown in _SHOWN:
        lanes = [lane for curve in sweep.curves for lane in _lanes(sweep, curve, shown)]
        known = [mark.end for lane in lanes for mark in lane.marks]
        if known and max(known) > 0:
            title = link(shown.term, shown.title)
            yield Chart(title, lanes, Scale(0.0, max(known) * 1.05), shown.words)


def _lanes(sweep: Sweep, curve: Curve, shown: _Quantity) -> Iterator[Lane]:
    """A line per size under the arm's name; the first arm is in another colour."""
    look = "" if curve is sweep.curves[0] else "stage-prefill"
    lanes = []
    for point in curve.measured:
        value = shown.value(point)
        if value is not None:
            at = sized(sweep.dimension, point.size)
            lanes.append(Lane(at, shown.words(value), (Mark("bar", 0.0, value, look),)))
    if lanes:
        yield Lane(clean(curve.label), heading=True)
        yield from lanes
