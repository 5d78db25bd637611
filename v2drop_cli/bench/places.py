"""Where a prompt's vision tokens are, in the prompt and over the pixels, as a report keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2drop_cli.models.base import VisionTokens
from v2drop_cli.records import Span


def spans(vision: VisionTokens, n_media: int) -> tuple[Span, ...] | None:
    """The spans of the first row; ``None`` where its grids do not account for all its tokens.

    A span's picture or video is named where it cannot be mistaken: there is only one, or every
    one is a single span. Pictures cut into tiles share a prompt otherwise.
    """
    if not vision.index:
        return ()
    positions, grids = vision.index[0].tolist(), vision.grids[0]
    if sum(grid.t * grid.h * grid.w for grid in grids) != len(positions):
        return None
    found, begin = [], 0
    for number, grid in enumerate(grids):
        end = begin + grid.t * grid.h * grid.w
        medium = 0 if n_media == 1 else number if n_media == len(grids) else None
        found.append(Span(medium, grid, tuple(_runs(positions[begin:end]))))
        begin = end
    return tuple(found)


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
