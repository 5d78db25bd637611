"""Lines over two logarithmic axes: a power law is straight there, and its exponent is the slope.

As in ``charts``, places are percentages, so that a chart is as wide as the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from v2drop_cli.report.html.markup import Child, Markup, number, tag

HEIGHT = 240
COLOURS = 5
"""Classes ``line-1`` to ``line-5`` of ``page.css``; further lines begin anew."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 6.0, 94.0, 10.0, 86.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, and points from left to right; every number is above 0."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LineChart:
    """A whole chart.

    Attributes:
        across: how a place along the chart is written.
        up: how a height is written.
        note: how to read it.
    """

    title: Child
    lines: Sequence[Line]
    across: Callable[[float], str]
    up: Callable[[float], str]
    note: Child = None


@dataclass(frozen=True, slots=True)
class LogScale:
    """Where values lie between two ends, by their logarithms."""

    low: float
    high: float
    start: float
    end: float

    def percent(self, value: float) -> float:
        """Of one value; all are in the middle where the ends are one.

        >>> LogScale(1.0, 100.0, 0.0, 80.0).percent(10.0)
        40.0
        """
        if self.high <= self.low:
            return (self.start + self.end) / 2
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Both ends, and what lies in the middle between them."""
        if self.high <= self.low:
            return [self.low]
        return [self.low, math.sqrt(self.low * self.high), self.high]


def drawn_lines(chart: LineChart) -> Markup | None:
    """The chart as an element of a page; ``None`` where no line has two points."""
    lines = [line for line in chart.lines if len(line.points) > 1]
    if not lines:
        return None
    places = sorted({x for line in lines for x, _ in line.points})
    heights = [y for line in lines for _, y in line.points]
    across = LogScale(places[0], places[-1], _LEFT, _RIGHT)
    up = LogScale(min(heights), max(heights), _BOTTOM, _TOP)
    drawing = tag(
        "svg",
        [_rung(up.percent(y), chart.up(y)) for y in up.ticks],
        [_foot(across.percent(x), chart.across(x)) for x in places],
        [tag("g", _strokes(line, across, up), class_=look(at)) for at, line in enumerate(lines)],
        width="100%",
        height=HEIGHT,
        class_="lines",
        aria_hidden="true",
        focusable="false",
    )
    keys = [
        tag("li", tag("span", class_=f"swatch {look(at)}"), line.name)
        for at, line in enumerate(lines)
    ]
    return tag(
        "figure",
        tag("figcaption", chart.title),
        tag("ul", keys, class_="legend"),
        drawing,
        None if chart.note is None else tag("p", chart.note, class_="note"),
        class_="chart",
    )


def look(at: int) -> str:
    """The class of a line's colour.

    >>> look(0), look(5)
    ('line-1', 'line-1')
    """
    return f"line-{at % COLOURS + 1}"


def _strokes(line: Line, across: LogScale, up: LogScale) -> Iterator[Markup]:
    places = [(number(across.percent(x)), number(up.percent(y))) for x, y in line.points]
    for (x1, y1), (x2, y2) in pairwise(places):
        yield tag("line", x1=f"{x1}%", y1=f"{y1}%", x2=f"{x2}%", y2=f"{y2}%")
    for x, y in places:
        yield tag("circle", cx=f"{x}%", cy=f"{y}%", r=4)


def _rung(at: float, words: str) -> list[Markup]:
    """A height: a thin line across, with its number above it."""
    place = f"{number(at)}%"
    return [
        tag("line", x1="0%", x2="100%", y1=place, y2=place, class_="rung"),
        tag("text", words, x="0%", y=place, dy=-3),
    ]


def _foot(at: float, words: str) -> Markup:
    """A place along the chart, written below it."""
    return tag("text", words, x=f"{number(at)}%", y=HEIGHT - 6, text_anchor="middle")
