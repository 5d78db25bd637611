"""Where a prompt's vision tokens are, in the prompt and over the pixels, as a report keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from v2drop_cli.models.base import Family, LoadedModel
from v2drop_cli.models.inputs import VisionTokens
from v2drop_cli.models.shown import WHOLE, Box, fitted, frame_grid
from v2drop_cli.records import Grid, MediaRecord, Span


@dataclass(frozen=True, slots=True)
class Shower:
    """What shows the media to the model: it knows what of each picture the model sees.

    Attributes:
        processor: ``None`` for synthetic input: made-up media have no picture to lie over.
    """

    family: Family
    processor: Any
    config: Any

    @classmethod
    def of(cls, loaded: LoadedModel) -> Shower:
        """What shows media to ``loaded``."""
        return cls(loaded.family, loaded.processor, loaded.model.config)

    def placed(self, spans: Sequence[Span], record: MediaRecord) -> Iterator[Span]:
        """The spans of one medium, with what they show of it."""
        if self.processor is None or record.synthetic:
            yield from spans
            return
        grids = [span.grid for span in spans]
        if record.kind == "video" and frame_grid(self.config) != (1, 1):
            yield from _of_mosaics(spans, record, frame_grid(self.config))
            return
        boxes: Sequence[Box | None]
        try:
            boxes = self.family.shown(self.processor, self.config, record, grids)
        except (AttributeError, ImportError, KeyError):
            # Somebody's own processor has other settings. A picture is no reason to end a run.
            boxes = (None,) * len(grids)
        frames = _frames(spans, record) if record.kind == "video" else [None] * len(grids)
        for span, box, shows in zip(spans, boxes, frames, strict=True):
            yield replace(span, shown=box, frames=shows)


def spans(
    vision: VisionTokens, media: Sequence[MediaRecord], shower: Shower
) -> tuple[Span, ...] | None:
    """The spans of the first row; ``None`` where its grids do not account for all its tokens.

    A span's picture or video is named where it cannot be mistaken.
    """
    if not vision.index:
        return ()
    positions, grids = vision.index[0].tolist(), vision.grids[0]
    if sum(grid.t * grid.h * grid.w for grid in grids) != len(positions):
        return None
    found, begin = [], 0
    for medium, grid in zip(owners(grids, media), grids, strict=True):
        end = begin + grid.t * grid.h * grid.w
        found.append(Span(medium, grid, tuple(_runs(positions[begin:end]))))
        begin = end
    placed = [span for span in found if span.media is None]
    for number, record in enumerate(media):
        placed += shower.placed([span for span in found if span.media == number], record)
    return tuple(sorted(placed, key=lambda span: (span.runs or ((0, 0),))[0]))


def owners(grids: Sequence[Grid], media: Sequence[MediaRecord]) -> Sequence[int | None]:
    """Which of the media each grid shows, ``None`` for all of them where that is not sure.

    It is where there is one medium, or a grid each, or where every picture is a whole view with
    its tiles before it, or after it; a grid without a place belongs to what it follows.
    """
    if len(media) == 1:
        return [0] * len(grids)
    if len(media) == len(grids):
        return range(len(grids))
    if any(record.kind == "video" for record in media):
        return [None] * len(grids)
    groups = _groups(grids, [grid.box == WHOLE for grid in grids])
    return groups if groups[-1:] == [len(media) - 1] else [None] * len(grids)


def _groups(grids: Sequence[Grid], wholes: Sequence[bool]) -> list[int | None]:
    """Grids by picture, if the whole view of each comes first, or comes last."""
    tiles = [not whole and _has_area(grid) for grid, whole in zip(grids, wholes, strict=True)]
    if not any(wholes) or (wholes[0] and wholes[-1] and any(tiles)):
        return []
    begins = wholes[0]
    found: list[int | None] = []
    number = -1 if begins else 0
    for whole in wholes:
        number += whole and begins
        found.append(number)
        number += whole and not begins
    return found


def _has_area(grid: Grid) -> bool:
    left, top, right, bottom = grid.box
    return right > left and bottom > top


def _frames(spans: Sequence[Span], record: MediaRecord) -> Sequence[tuple[int, int] | None]:
    """The first frame of each span, and how many each of its steps shows: all the same number.

    Not known where less than a whole frame has a grid of its own, unless every frame has a whole
    view, with its tiles before it, or after it; or unless text stands between frames alone, where
    what did not move was left out.
    """
    grids = [span.grid for span in spans]
    views = [grid for grid in grids if _has_area(grid)]
    if any(grid.box != WHOLE for grid in views):
        wholes = [grid.box == WHOLE for grid in grids]
        for groups in (_groups(grids, wholes), _unbroken(spans)):
            if groups[-1:] == [record.frames - 1]:
                return [None if n is None else (n, 1) for n in groups]
        return [None] * len(grids)
    steps = sum(grid.t for grid in views)
    each = math.ceil(record.frames / steps) if steps else 0
    if not steps or math.ceil(record.frames / each) != steps:
        return [None] * len(grids)
    found: list[tuple[int, int] | None] = []
    step = 0
    for grid in grids:
        found.append((step * each, each) if _has_area(grid) else None)
        step += grid.t if _has_area(grid) else 0
    return found


def _unbroken(spans: Sequence[Span]) -> list[int | None]:
    """Spans by which of them follow each other without a token between."""
    found: list[int | None] = []
    number, end = -1, -1  # no token is there
    for span in spans:
        if not span.runs:  # no token
            found.append(None)
            continue
        number += span.runs[0][0] != end
        found.append(number)
        end = sum(span.runs[-1])
    return found


def _of_mosaics(
    spans: Sequence[Span], record: MediaRecord, tiling: tuple[int, int]
) -> Iterator[Span]:
    """A span for each frame of pictures that hold several; the last frame fills the last one up.

    As they are where a token would show two frames.
    """
    rows, columns = tiling
    frame = 0
    for span in spans:
        grid = span.grid
        if grid.t != 1 or grid.h % rows or grid.w % columns:
            yield span
            continue
        high, wide = grid.h // rows, grid.w // columns
        at = [first + n for first, count in span.runs for n in range(count)]
        for place in range(rows * columns):
            y, x = place // columns * high, place % columns * wide
            own = [at[(y + r) * grid.w + x + c] for r in range(high) for c in range(wide)]
            box = fitted(record.width, record.height, wide, high)
            shows = (min(frame, record.frames - 1), 1)
            yield Span(span.media, Grid(1, high, wide), tuple(_runs(own)), box, shows)
            frame += 1


def _runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring positions together, as (first, how many)."""
    first = length = 0
    for position in positions:
        if length and position == first + length:
            length += 1
            continue
        if length:
            yield first, length
        first, length = position, 1
    if length:
        yield first, length
