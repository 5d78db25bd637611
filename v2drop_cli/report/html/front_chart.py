"""Quality over time: a spot for each arm with the interval of its quality, and the front they make.

As in ``line_chart``, places are percentages, so that a chart is as wide as the page. Arms may lie
close together, so a spot has a number, and the list under the chart says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from v2drop_cli.report.html.charts import Scale
from v2drop_cli.report.html.markup import Child, Markup, number, tag

HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 8.0, 94.0, 8.0, 86.0
_DIAMOND = "M0 -6L6 0 0 6-6 0z"

Kind = Literal["arm", "dense", "random"]


@dataclass(frozen=True, slots=True)
class Spot:
    """One arm.

    Attributes:
        cost: what it takes; less is better.
        quality: more is better.
        span: the interval of the quality.
        kind: how it is drawn.
    """

    name: str
    cost: float
    quality: float
    span: tuple[float, float] | None = None
    kind: Kind = "arm"


@dataclass(frozen=True, slots=True)
class FrontChart:
    """A whole chart.

    Attributes:
        across: how a cost is written.
        up: how a quality is written.
        note: how to read it.
    """

    title: Child
    spots: Sequence[Spot]
    across: Callable[[float], str]
    up: Callable[[float], str]
    note: Child = None


def front(spots: Sequence[Spot]) -> list[Spot]:
    """The spots that no other one beats: from the cheapest on, each better than those before it.

    >>> [one.name for one in front([Spot("a", 3, 9), Spot("b", 1, 5), Spot("c", 2, 4)])]
    ['b', 'a']
    """
    found: list[Spot] = []
    for spot in sorted(spots, key=lambda one: (one.cost, -one.quality)):
        if not found or spot.quality > found[-1].quality:
            found.append(spot)
    return found


def drawn_front(chart: FrontChart) -> Markup | None:
    """The chart as an element of a page; ``None`` for fewer than two spots."""
    if len(chart.spots) < 2:
        return None
    place = _Place.around(chart.spots)
    drawing = tag(
        "svg",
        [place.rung(at, chart.up(at)) for at in place.up.ticks()],
        [place.foot(at, chart.across(at)) for at in place.across.ticks()],
        list(_steps(front(chart.spots), place)),
        [_spot(spot, at, place) for at, spot in enumerate(chart.spots, 1)],
        width="100%",
        height=HEIGHT,
        class_="lines front",
        aria_hidden="true",
        focusable="false",
    )
    best = front(chart.spots)
    keys = [
        tag(
            "li",
            f"{at} ",
            tag("b", spot.name),
            _said(chart, spot),
            " on the front" * (spot in best),
        )
        for at, spot in enumerate(chart.spots, 1)
    ]
    return tag(
        "figure",
        tag("figcaption", chart.title),
        drawing,
        tag("ul", keys, class_="legend"),
        None if chart.note is None else tag("p", chart.note, class_="note"),
        class_="chart",
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a cost and a quality are on the drawing."""

    across: Scale
    up: Scale

    @classmethod
    def around(cls, spots: Sequence[Spot]) -> _Place:
        """Both scales hold all that is drawn."""
        heights = [end for spot in spots for end in (spot.quality, *(spot.span or ()))]
        return cls(Scale.around([spot.cost for spot in spots]), Scale.around(heights))

    def x(self, cost: float) -> str:
        """From the left."""
        return f"{number(_LEFT + (_RIGHT - _LEFT) * self.across.percent(cost) / 100)}%"

    def y(self, quality: float) -> str:
        """From the top."""
        return f"{number(_BOTTOM + (_TOP - _BOTTOM) * self.up.percent(quality) / 100)}%"

    def rung(self, quality: float, words: str) -> list[Markup]:
        """A thin line across, with its number above it."""
        at = self.y(quality)
        return [
            tag("line", x1="0%", x2="100%", y1=at, y2=at, class_="rung"),
            tag("text", words, x="0%", y=at, dy=-3),
        ]

    def foot(self, cost: float, words: str) -> Markup:
        """A cost, written below."""
        return tag("text", words, x=self.x(cost), y=HEIGHT - 6, text_anchor="middle")


def _steps(best: Sequence[Spot], place: _Place) -> Iterator[Markup]:
    """Between two spots nothing better was seen than the cheaper one."""
    for one, other in pairwise(best):
        left, right, low, high = (
            *(place.x(spot.cost) for spot in (one, other)),
            *(place.y(spot.quality) for spot in (one, other)),
        )
        yield tag("line", x1=left, x2=right, y1=low, y2=low, class_="step")
        yield tag("line", x1=right, x2=right, y1=low, y2=high, class_="step")


def _spot(spot: Spot, at: int, place: _Place) -> Markup:
    x, y = place.x(spot.cost), place.y(spot.quality)
    reach = None
    if spot.span is not None:
        low, high = map(place.y, spot.span)
        reach = tag("line", x1=x, x2=x, y1=low, y2=high, class_="reach")
    if spot.kind == "dense":
        shape = tag("svg", tag("path", d=_DIAMOND), x=x, y=y, overflow="visible")
    else:
        shape = tag("circle", cx=x, cy=y, r=5)
    name = tag("text", str(at), x=x, y=y, dx=9, dy=-5, class_="number")
    return tag("g", reach, shape, name, class_=f"spot {spot.kind}")


def _said(chart: FrontChart, spot: Spot) -> str:
    reach = ""
    if spot.span is not None:
        low, high = map(chart.up, spot.span)
        reach = f" [{low}, {high}]"
    return f" {chart.up(spot.quality)}{reach} at {chart.across(spot.cost)}"
