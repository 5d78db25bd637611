"""Where on paper a figure of kept tokens goes: the same for every form, in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v2drop_cli.report.kept_figure import FigureRow, KeptFigure, Panel
from v2drop_cli.report.kept_sheets import Box, Sheet
from v2drop_cli.report.layout import wrap
from v2drop_cli.report.text import clean

PANEL = 240
_GAP, _MARGIN, _LINE = 14, 12, 15
_SMALL, _TEXT, _LARGE = 9, 11, 13
_MOST_COLUMNS = 4
_TALLEST = 1.6  # a sheet is at most so many times as high as wide
# Characters that fit a pixel, roughly, at the normal size.
_PER_PIXEL = 1 / 6

Line = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; ``y`` is its baseline."""

    text: str
    x: float
    y: float
    size: int = _TEXT
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sheet in one panel, in pixels.

    Attributes:
        sheet: its number, for the picture under it.
        frame: where the sheet is.
        dropped: what is dimmed; neighbours in a row are one.
        unseen: what no token stands for: the processor cut it off.
        heat: cells with their score from 0 to 1.
        lines: from tokens that were merged to what took them in.
    """

    sheet: int
    frame: Box
    dropped: tuple[Box, ...]
    unseen: tuple[Box, ...] = ()
    heat: tuple[tuple[Box, float], ...] = ()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Paper:
    """Everything, ready to be drawn."""

    width: int
    height: int
    sheets: tuple[Drawn, ...]
    words: tuple[Words, ...]


def lay_out(figure: KeptFigure) -> Paper:
    """Arms below each other, their panels side by side, notes at the end."""
    columns = max(len(row.panels) for row in figure.rows)
    width = 2 * _MARGIN + columns * PANEL + (columns - 1) * _GAP
    words = [Words(clean(figure.title), _MARGIN, _MARGIN + _LARGE, _LARGE, bold=True)]
    drawn: list[Drawn] = []
    y = _MARGIN + _LARGE + _LINE
    for row in figure.rows:
        words.append(Words(clean(row.label), _MARGIN, y + _TEXT, bold=True))
        placed = [*_panels(figure.sheets, row, y + _LINE)]
        for paper in placed:
            drawn += paper.sheets
            words += paper.words
        y += _LINE + max(paper.height for paper in placed) + _GAP
    for note in (figure.legend, *figure.notes):
        for line in wrap(clean(note), int((width - 2 * _MARGIN) * _PER_PIXEL)):
            words.append(Words(line, _MARGIN, y + _TEXT, _SMALL))
            y += _LINE
    return Paper(width, math.ceil(y + _MARGIN), tuple(drawn), tuple(words))


def panel_paper(sheets: Sequence[Sheet], panel: Panel) -> Paper:
    """One panel alone, as one picture of a slide show."""
    return _panel(sheets, panel, 0, 0)


def _panels(sheets: Sequence[Sheet], row: FigureRow, y: float) -> Iterator[Paper]:
    for number, panel in enumerate(row.panels):
        yield _panel(sheets, panel, _MARGIN + number * (PANEL + _GAP), y)


def _panel(sheets: Sequence[Sheet], panel: Panel, x: float, y: float) -> Paper:
    """A title, and the sheets in rows under it, each with its count if there are several."""
    words = [Words(clean(panel.title), x, y + _TEXT)]
    drawn: list[Drawn] = []
    columns = min(_MOST_COLUMNS, math.ceil(math.sqrt(len(sheets)))) or 1
    wide = (PANEL - (columns - 1) * 4) / columns
    below = y + _LINE + 2
    for start in range(0, len(sheets), columns):
        highest = 0.0
        for column, number in enumerate(range(start, min(start + columns, len(sheets)))):
            left = x + column * (wide + 4)
            frame = _frame(sheets[number], left, below, wide)
            drawn.append(drawn_in(sheets[number], number, panel, frame))
            highest = max(highest, frame[3] - below)
            if len(sheets) > 1:
                words.append(Words(_count(panel.kept[number]), left, frame[3] + _SMALL, _SMALL))
        below += highest + (_LINE if len(sheets) > 1 else 2)
    stayed, of = panel.without_place
    if of:
        text = f"and {stayed} of {of} tokens without a place"
        words.append(Words(text, x, below + _SMALL, _SMALL))
        below += _LINE
    return Paper(PANEL, math.ceil(below - y), tuple(drawn), tuple(words))


def _count(kept: Sequence[bool]) -> str:
    return f"{sum(kept)}/{len(kept)}"


def _frame(sheet: Sheet, left: float, top: float, wide: float) -> Box:
    """Where a sheet is, in its own shape, within ``wide`` pixels."""
    high = wide / sheet.aspect
    if high > wide * _TALLEST:
        wide, high = wide * wide * _TALLEST / high, wide * _TALLEST
    return left, top, left + wide, top + max(high, 1.0)


def drawn_in(sheet: Sheet, number: int, panel: Panel, frame: Box) -> Drawn:
    """Sheet ``number`` of the panel, in a frame of its own."""
    boxes = [_on(frame, box) for box in sheet.boxes]
    kept = panel.kept[number]
    scores = panel.scores[number] if panel.scores is not None else ()
    heat = [(box, score) for box, score in zip(boxes, scores, strict=False) if score is not None]
    dropped = [box for box, stays in zip(boxes, kept, strict=True) if not stays]
    lines = [
        (*_middle(boxes[source]), *_middle(boxes[merge.into[1]]))
        for merge in panel.merges
        if merge.into[0] == number
        for at, source in merge.sources
        if at == number
    ]
    unseen = tuple(_on(frame, box) for box in sheet.unseen)
    return Drawn(number, frame, tuple(_joined(dropped)), unseen, tuple(heat), tuple(lines))


def _on(frame: Box, box: Box) -> Box:
    wide, high = frame[2] - frame[0], frame[3] - frame[1]
    return (
        frame[0] + box[0] * wide,
        frame[1] + box[1] * high,
        frame[0] + box[2] * wide,
        frame[1] + box[3] * high,
    )


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _joined(boxes: Sequence[Box]) -> Iterator[Box]:
    """Neighbours of one row as one box: fewer shapes, and no seams between them."""
    last: Box | None = None
    for box in sorted(boxes, key=lambda box: (round(box[1], 3), box[0])):
        if last is not None and _same_row(last, box) and abs(last[2] - box[0]) < 0.01:
            last = (last[0], last[1], box[2], last[3])
            continue
        if last is not None:
            yield last
        last = box
    if last is not None:
        yield last


def _same_row(a: Box, b: Box) -> bool:
    return abs(a[1] - b[1]) < 0.01 and abs(a[3] - b[3]) < 0.01
