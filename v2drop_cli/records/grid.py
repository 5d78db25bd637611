"""Where vision tokens lie over the pixels: the same object for an instrument and for a picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from v2drop_cli.records.arm import ADDED


@dataclass(frozen=True, slots=True)
class Grid:
    """How one span of vision tokens lies over the pixels.

    Attributes:
        t, h, w: frames, rows and columns of tokens, in raster order.
        box: (left, top, right, bottom) of the processed picture covered, as shares of its sides.
            Without area for tokens that stand for no pixels, or whose place is not known.
    """

    t: int
    h: int
    w: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Span:
    """The vision tokens of one grid, in the prompt.

    Attributes:
        media: which of the request's media they show, from 0; ``None`` where that is not known.
        grid: where they are over its pixels.
        runs: their prompt positions in order, as (first, how many) of each unbroken run.
        shown: where the processed picture lies over the medium, as (left, top, right, bottom) in
            shares of the medium's own sides: inside 0 to 1 where the processor cut something off,
            beyond where it padded. ``None`` where that is not known.
        frames: of a video, the first frame that the grid shows, and how many frames each of its
            ``t`` steps shows. ``None`` for a picture, and where that is not known.

    A grid of 2 x 3 whose rows are kept apart by a token of text, from position 4 on:

        runs = ((4, 3), (8, 3))
    """

    media: int | None
    grid: Grid
    runs: tuple[tuple[int, int], ...]
    shown: tuple[float, float, float, float] | None = field(default=None, metadata=ADDED)
    frames: tuple[int, int] | None = field(default=None, metadata=ADDED)
