"""Which tokens each drop kept: one slide a drop, on it every arm's grids.

The grids are drawn on a plain canvas, from the report alone. Each is of one span of
``request.spans``; a token whose place is not known is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2drop_cli.records import ArmResult, Report, Span
from v2drop_cli.report import wording
from v2drop_cli.report.html.markup import Markup, lines, tag


def kept_panel(report: Report) -> Markup | None:
    """``None`` where nobody dropped anything, or where no token has a place."""
    spans, arms = report.request.spans, [arm for arm in report.arms if arm.drops]
    if not spans or not arms:
        return None
    last = max(len(arm.drops) for arm in arms)
    slides = [_slide(number, arms, spans) for number in range(last + 1)]
    slider = tag(
        "input", type="range", min=0, max=last, value=1, step=1, hidden=True, aria_label="drop"
    )
    note = tag(
        "p",
        "Coloured: the vision tokens that stay, of the first row of the batch, where they lie "
        "over each picture, frame or tile. Grey: dropped.",
        class_="note",
    )
    return tag("div", tag("p", slider, tag("output")), slides, note, class_="slides")


def _slide(number: int, arms: Sequence[ArmResult], spans: Sequence[Span]) -> Markup:
    title = f"after drop {number}" if number else "before any drop"
    cards = [_card(arm, number, spans) for arm in arms]
    body = tag("div", cards, class_="kept")
    return tag("figure", tag("figcaption", title), body, data_slide=str(number))


def _card(arm: ArmResult, number: int, spans: Sequence[Span]) -> Markup:
    """An arm that is done dropping stays as its last drop left it."""
    done = arm.drops[:number]
    alive = set(done[-1].kept[0]) if done and done[-1].kept else None
    if done and alive is None:
        alive = set()
    count = _count(spans) if alive is None else len(alive)
    where = f"from layer {done[-1].layer} on" if done else "all layers"
    said = f"{wording.plural(count, 'token')}, {where}"
    grids = [grid for span in spans for grid in _grids(span, alive)]
    return tag(
        "article",
        tag("h3", lines(wording.arm_label(arm))),
        tag("p", said, class_="verdict"),
        tag("div", grids, class_="grids", role="img", aria_label=said),
        class_="card",
    )


def _count(spans: Sequence[Span]) -> int:
    return sum(count for span in spans for _, count in span.runs)


def _grids(span: Span, alive: set[int] | None) -> Iterator[Markup]:
    """A drawing a frame: one stroke for each unbroken row of tokens that stay."""
    places = [at for first, count in span.runs for at in range(first, first + count)]
    wide, high = span.grid.w, span.grid.h
    for frame in range(span.grid.t):
        own = places[frame * wide * high : (frame + 1) * wide * high]
        kept = [alive is None or at in alive for at in own]
        rows = [kept[start : start + wide] for start in range(0, len(kept), wide)]
        yield tag(
            "svg",
            tag("path", d="".join(_strokes(rows)), class_="alive"),
            viewBox=f"0 0 {wide} {high}",
            preserveAspectRatio="none",
        )


def _strokes(rows: Sequence[Sequence[bool]]) -> Iterator[str]:
    """Of each row, the unbroken parts that stay.

    >>> "".join(_strokes([[True, True, False], [False, False, True]]))
    'M0 .5h2M2 1.5h1'
    """
    for number, row in enumerate(rows):
        start = None
        for at, stays in enumerate((*row, False)):
            if stays and start is None:
                start = at
            if not stays and start is not None:
                yield f"M{start} {number or ''}.5h{at - start}"
                start = None
