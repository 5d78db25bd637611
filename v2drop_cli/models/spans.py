"""How runs of placeholders lie over pixels: shared by families with grids of many sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import Grids
from v2drop_cli.records import Grid

# A learned separator that stands for no pixels: a box without area, at the picture's far corner.
NEWLINE = Grid(1, 1, 1, (1.0, 1.0, 1.0, 1.0))


# What `process` adds where no tensor says how pictures were cut: [n, 2], rows and columns of tiles.
CUTS = "tiles"


def with_newlines(rows: int, columns: int) -> Grid:
    """Rows of tokens with a newline token after each: one more column, right of the picture.

    A picture far taller than wide may have no column left once its padding is cut: the newlines
    stay, as in the model.
    """
    if not columns:
        return Grid(1, rows, 1, (1.0, 0.0, 1.0, 1.0))
    return Grid(1, rows, columns + 1, (0.0, 0.0, (columns + 1) / columns, 1.0))


def walk(row: list[int], waiting: Mapping[int, Iterator[tuple[Grid, ...]]]) -> tuple[Grid, ...]:
    """The grids of one row of ids, in order.

    Args:
        row: token ids of one prompt.
        waiting: per placeholder id, the grids of each image or video still to come.
    """
    found: list[Grid] = []
    column = 0
    while column < len(row):
        grids = next(waiting[row[column]], ()) if row[column] in waiting else ()
        found.extend(grids)
        column += max(1, sum(grid.t * grid.h * grid.w for grid in grids))
    return tuple(found)


def tile_boxes(rows: int, columns: int) -> list[tuple[float, float, float, float]]:
    """What each tile of a picture covers that was cut into ``rows`` x ``columns``, in order."""
    return [
        (c / columns, r / rows, (c + 1) / columns, (r + 1) / rows)
        for r in range(rows)
        for c in range(columns)
    ]


def cut_squares(count: int, cut: Sequence[int], side: int) -> Iterator[Grid]:
    """Tiles in raster order, then the thumbnail; without a place if their cut is not known.

    Args:
        count: squares of ``side`` x ``side`` tokens that the picture became.
        cut: rows and columns of its tiles; empty if they are not known.
        side: tokens along one side of a square.
    """
    rows, columns = cut or (0, 0)
    if rows * columns == count - (count > 1):
        if count > 1:
            yield from (Grid(1, side, side, box) for box in tile_boxes(rows, columns))
        yield Grid(1, side, side)
    else:
        yield from [Grid(1, side, side, (1.0, 1.0, 1.0, 1.0))] * count


def square_side(config: Any) -> int:
    """Tokens along one side of a picture, where they are the tower's patches."""
    return int(config.vision_config.image_size // config.vision_config.patch_size)


def timm_patch(vision: Any) -> int | None:
    """Pixels along a side of a timm tower's patches, which its architecture's name alone tells."""
    found = re.search(r"patch(\d+)", getattr(vision, "architecture", None) or "")
    return int(found[1]) if found else None


def square_grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One square grid a picture, all of the tower's own size."""
    side = square_side(config)
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    return tuple((Grid(1, side, side),) * (count // side**2) for count in counts)


def sized_grids(config: Any, tensors: Mapping[str, Tensor], patch: int) -> Grids:
    """One grid a picture whose rows of tokens are kept apart by text.

    Args:
        config: the model's.
        tensors: ``input_ids`` and ``image_sizes`` ``[n, 2]``, height and width in pixels.
        patch: pixels a token covers, each way.
    """
    sizes = tensors["image_sizes"].tolist() if "image_sizes" in tensors else []
    grids = [Grid(1, height // patch, width // patch) for height, width in sizes]
    return counted_grids(config, tensors, iter(grids))


def counted_grids(config: Any, tensors: Mapping[str, Tensor], waiting: Iterator[Grid]) -> Grids:
    """The grids of each row, whose tokens may be kept apart by text.

    Args:
        config: the model's.
        tensors: ``input_ids`` among them.
        waiting: the grids of all rows, in order.
    """
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    rows = []
    for left in counts:
        row: list[Grid] = []
        while left > 0 and (grid := next(waiting, None)):
            row.append(grid)
            left -= grid.t * grid.h * grid.w
        rows.append(tuple(row))
    return tuple(rows)


def unplaced(ids: Tensor, token: int, size: int) -> Grids:
    """Runs of ``size`` tokens that have no place over the pixels, as learned queries have none.

    Args:
        ids: ``[B, L]`` of the prompts.
        token: the placeholder's id.
        size: tokens of one picture.
    """
    counts = (ids == token).sum(dim=1).tolist()
    run = Grid(1, 1, size, (1.0, 1.0, 1.0, 1.0))
    return tuple((run,) * (count // size) for count in counts)
