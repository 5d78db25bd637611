"""Charts as lines of text, each with a small drawing beside it; all of it inline SVG.

Places along a drawing are percentages, so that a chart is as wide as the page, and words stay
words of the page: they wrap, they are read aloud, and they keep their size on a phone. Colours are
classes of ``page.css``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from v2drop_cli.report.html.markup import Child, Markup, number, tag

HEIGHT = 18
_MIDDLE = HEIGHT / 2
_ACROSS = 1000
"""Steps that the marks of single samples are rounded to."""
_EDGE = 12.0
"""Within so many percent of an end, a number on the axis is set towards the middle."""

Shape = Literal["bar", "band", "whisker", "tick", "point", "goal"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One shape from ``start`` to ``end``, on the chart's scale; a point is both.

    Attributes:
        look: a class that colours it.
    """

    shape: Shape
    start: float
    end: float
    look: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of a chart.

    Attributes:
        label: what it is of.
        said: the same as the drawing says, in words.
        samples: each is a stroke.
        heading: it names the lines below it.
    """

    label: Child
    said: Child = None
    marks: tuple[Mark, ...] = ()
    samples: tuple[float, ...] = ()
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Which values lie at the left and at the right end of every lane.

    Attributes:
        unit: what the numbers of an axis are round in: a MiB, say.
    """

    low: float
    high: float
    unit: float = 1.0

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.05) -> Scale:
        """The scale that holds ``values`` and some room; never without width."""
        low, high = min(values), max(values)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - room, high + room)

    def percent(self, value: float) -> float:
        """Where ``value`` is, from 0 to 100; what lies beyond an end is at that end.

        >>> Scale(1.0, 3.0).percent(1.5), Scale(1.0, 3.0).percent(9.0)
        (25.0, 100.0)
        """
        share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0) * 100

    def ticks(self, most: int = 4) -> list[float]:
        """Round numbers on the scale, ``most`` at most.

        >>> Scale(0.0, 0.43).ticks(), Scale(0.9, 2.4).ticks()
        ([0.0, 0.2, 0.4], [1.0, 1.5, 2.0])
        >>> Scale(0, 480 * 2**20, unit=2**20).ticks()[1] / 2**20
        200.0
        """
        least = (self.high - self.low) / self.unit / most
        power = 10.0 ** math.floor(math.log10(least))
        wanted = next(power * each for each in (1, 2, 5, 10) if power * each >= least * 0.999)
        step = wanted * self.unit
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(at * step, 12) for at in range(first, last + 1)][:most]


@dataclass(frozen=True, slots=True)
class Chart:
    """A whole chart.

    Attributes:
        axis: how a number under the chart is written; ``None`` for no axis.
        legend: class and words of each colour.
        note: how to read it.
    """

    title: str
    lanes: Sequence[Lane]
    scale: Scale
    axis: Callable[[float], str] | None = None
    legend: Sequence[tuple[str, str]] = field(default=())
    note: Child = None


def drawn(chart: Chart) -> Markup:
    """The chart as an element of a page."""
    keys = [tag("li", tag("span", class_=f"swatch {look}"), words) for look, words in chart.legend]
    return tag(
        "figure",
        tag("figcaption", chart.title),
        tag("ul", keys, class_="legend") if keys else None,
        [_lane(lane, chart.scale) for lane in chart.lanes],
        None if chart.axis is None else _axis(chart.scale, chart.axis),
        None if chart.note is None else tag("p", chart.note, class_="note"),
        class_="chart",
    )


def _lane(lane: Lane, scale: Scale) -> Markup:
    label = tag("span", lane.label, class_="label")
    said = None if lane.said is None else tag("span", lane.said, class_="said")
    if lane.heading:
        return tag("div", label, said, class_="lane heading")
    shapes = [_shape(mark, scale) for mark in lane.marks]
    drawing = _svg([*shapes, _strokes(lane.samples, scale)])
    return tag("div", label, drawing, said, class_="lane")


def _svg(children: Child) -> Markup:
    return tag("svg", children, width="100%", height=HEIGHT, aria_hidden="true", focusable="false")


def _shape(mark: Mark, scale: Scale) -> Markup:
    start, end = scale.percent(mark.start), scale.percent(mark.end)
    look = f"{mark.shape} {mark.look}".strip()
    left = f"{number(start)}%"
    if mark.shape in ("bar", "band"):
        top = 0 if mark.shape == "band" else 3
        size = {"y": top, "height": HEIGHT - 2 * top}
        return tag("rect", x=left, width=f"{number(end - start)}%", class_=look, **size)
    if mark.shape == "whisker":
        right = f"{number(end)}%"
        return tag("line", x1=left, x2=right, y1=_MIDDLE, y2=_MIDDLE, class_=look)
    if mark.shape == "tick":
        return tag("line", x1=left, x2=left, y1=0, y2=HEIGHT, class_=look)
    if mark.shape == "point":
        return tag("circle", cx=left, cy=_MIDDLE, r=4, class_=look)
    path = tag("path", d=f"M0 3L6 {number(_MIDDLE)} 0 {HEIGHT - 3}-6 {number(_MIDDLE)}z")
    return tag("svg", path, x=left, overflow="visible", class_=look)


def _strokes(samples: Sequence[float], scale: Scale) -> Markup | None:
    """A stroke a sample, as one path: there may be thousands."""
    if not samples:
        return None
    places = [round(scale.percent(sample) * _ACROSS / 100) for sample in samples]
    path = "".join(f"M{place} 2v{HEIGHT - 4}" for place in places)
    return tag(
        "svg",
        tag("path", d=path, vector_effect="non-scaling-stroke"),
        viewBox=f"0 0 {_ACROSS} {HEIGHT}",
        preserveAspectRatio="none",
        width="100%",
        height=HEIGHT,
        class_="samples",
    )


def _axis(scale: Scale, words: Callable[[float], str]) -> Markup:
    texts = []
    for value in scale.ticks():
        at = scale.percent(value)
        anchor = "start" if at < _EDGE else "end" if at > 100 - _EDGE else "middle"
        place = f"{number(at)}%"
        texts.append(tag("line", x1=place, x2=place, y1=0, y2=4))
        texts.append(tag("text", words(value), x=place, y=HEIGHT - 2, text_anchor=anchor))
    return tag("div", tag("span", class_="label"), _svg(texts), class_="lane axis")
