"""Which tokens each drop kept: one slide a drop, on it every arm's pictures.

The same figure that ``v2drop viz`` draws. Where a picture is not at hand, the tokens that stay are
coloured on a plain canvas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v2drop_cli.records import ArmResult, Report
from v2drop_cli.report import wording
from v2drop_cli.report.html.markup import Markup, lines, number, tag
from v2drop_cli.report.kept_figure import FigureRow, KeptFigure, Panel, kept_figure
from v2drop_cli.report.kept_layout import drawn_in
from v2drop_cli.report.kept_sheets import Box, Sheet
from v2drop_cli.report.kept_svg import Pictures, name_of, picture_key

WIDE = 1000
"""Units across a picture: its shapes are written in whole ones."""
MOST = 600_000
"""Characters that the shapes may take, so that the page stays below a megabyte."""


@dataclass(frozen=True, slots=True)
class Board:
    """What the slides draw on.

    Attributes:
        sheets: every picture and frame.
        shown: which of the media's pictures are at hand.
    """

    sheets: Sequence[Sheet]
    shown: frozenset[tuple[int, int]]

    def drawings(self, panel: Panel) -> Iterator[Markup]:
        """Each sheet, with its count if there are several."""
        several = len(self.sheets) > 1
        for at, (sheet, kept) in enumerate(zip(self.sheets, panel.kept, strict=True)):
            count = tag("small", f"{sum(kept)}/{len(kept)}") if several else None
            yield tag("span", self._drawing(sheet, at, panel), count)

    def _drawing(self, sheet: Sheet, at: int, panel: Panel) -> Markup:
        high = max(1, round(WIDE / sheet.aspect))
        drawn = drawn_in(sheet, at, panel, (0.0, 0.0, float(WIDE), float(high)))
        key, look, under = picture_key(sheet), "plain", None
        if key is not None and key in self.shown:
            scale = f"scale({WIDE} {high})"
            look, under = "over", tag("use", href=f"#{name_of(key)}", transform=scale)
        merged = "".join(f"M{a:.0f} {b:.0f}L{c:.0f} {d:.0f}" for a, b, c, d in drawn.lines)
        return tag(
            "svg",
            under,
            _bars(drawn.unseen, "unseen"),
            _bars(drawn.dropped, "dropped"),
            tag("path", d=merged, class_="merged") if merged else None,
            viewBox=f"0 0 {WIDE} {high}",
            class_=look,
        )


def _bars(boxes: Sequence[Box], look: str) -> Iterator[Markup]:
    """Boxes as strokes, those of one height in one path: the shortest way to write them."""
    paths: dict[int, list[str]] = {}
    for left, top, right, bottom in boxes:
        start, middle = round(left), number((top + bottom) / 2)
        paths.setdefault(round(bottom - top) + 1, []).append(
            f"M{start} {middle}h{round(right) - start}"
        )
    for high, bars in paths.items():
        yield tag("path", d="".join(bars), stroke_width=high, class_=look)


def kept_panel(report: Report, pictures: Pictures | None = None) -> Markup | None:
    """``None`` where nobody dropped anything, or where no token has a place.

    Args:
        report: says what is drawn.
        pictures: data URIs of the media, if they are at hand.
    """
    arms = [arm for arm in report.arms if arm.drops]
    if not report.request.spans or not arms:
        return None
    figure = kept_figure(report)
    last = max(len(arm.drops) for arm in arms)
    given = {key: uri for key, uri in (pictures or {}).items() if key in _keys(figure)}
    board = Board(figure.sheets, frozenset(given))
    slides = [_slide(drop, arms, figure.rows, board) for drop in range(last + 1)]
    if sum(map(len, slides)) > MOST:
        said = "There are too many tokens to draw here: v2drop viz draws them from the JSON below."
        return tag("p", said, class_="note")
    slider = tag(
        "input", type="range", min=0, max=last, value=last, step=1, hidden=True, aria_label="drop"
    )
    notes = [
        tag("p", note, class_="note") for note in (_legend(figure, bool(given)), *figure.notes)
    ]
    return tag(
        "div", tag("p", slider, tag("output")), _stored(given), slides, notes, class_="slides"
    )


def _keys(figure: KeptFigure) -> set[tuple[int, int] | None]:
    return {picture_key(sheet) for sheet in figure.sheets}


def _legend(figure: KeptFigure, shown: bool) -> str:
    words = (
        "Shown is the first row of the batch: where its vision tokens lie over each picture or "
        "frame. "
    )
    if shown:
        return f"{words}{figure.legend.capitalize()}."
    return f"{words}Coloured: they stay. Grey: dropped."


def _stored(pictures: Pictures) -> Markup | None:
    """Every picture once; the slides point to it."""
    if not pictures:
        return None
    stored = [
        tag("image", id=name_of(key), width=1, height=1, preserveAspectRatio="none", href=uri)
        for key, uri in pictures.items()
    ]
    return tag("svg", tag("defs", stored), width=0, height=0, class_="stored", aria_hidden="true")


def _slide(drop: int, arms: Sequence[ArmResult], rows: Sequence[FigureRow], board: Board) -> Markup:
    title = f"after drop {drop}" if drop else "before any drop"
    cards = [_card(arm, row, drop, board) for arm, row in zip(arms, rows, strict=True)]
    body = tag("div", cards, class_="kept")
    return tag("figure", tag("figcaption", title), body, data_slide=str(drop))


def _card(arm: ArmResult, row: FigureRow, drop: int, board: Board) -> Markup:
    """An arm that is done dropping stays as its last drop left it."""
    done = arm.drops[:drop]
    panel = row.panels[len(done)]
    where = f"from layer {done[-1].layer} on" if done else "all layers"
    said = f"{wording.plural(panel.alive, 'token')}, {where}"
    stayed, of = panel.without_place
    return tag(
        "article",
        tag("h3", lines(wording.arm_label(arm))),
        tag("p", said, class_="verdict"),
        tag("div", board.drawings(panel), class_="grids", role="img", aria_label=said),
        tag("p", f"{stayed} of {of} tokens without a place", class_="note") if of else None,
        class_="card",
    )
