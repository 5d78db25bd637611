"""Ovis2: tiles as mixtures of visual words, told apart by indicator tokens (arXiv 2405.20797).

A picture is a thumbnail and, if it is cut, tiles of the same size (16 x 16 tokens in the published
models) in rows and columns. Every ``<IMG_ATOM>`` is droppable: thumbnail and tiles compete for the
same places. ``<IMG_START>``, ``<IMG_GRID>``, ``<IMG_COL>``, ``<IMG_ROW>`` and ``<IMG_END>`` have
ids and features of their own and stay. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

_MOST_TILES = 12  # of transformers' Ovis2ImageProcessor; tiles that cover 9/10 of the picture do
_UNKNOWN = (1.0, 1.0, 1.0, 1.0)


@dataclass(slots=True)
class _Picture:
    """What was read of one picture: its runs of tokens, and which tile each is.

    Attributes:
        runs: (tokens, place), where the place is (row, column) or ``None`` for the thumbnail.
        place: of the next run.
    """

    runs: list[tuple[int, tuple[int, int] | None]] = field(default_factory=list)
    place: tuple[int, int] | None = None

    def grids(self, side: int) -> Iterator[Grid]:
        """Grids of tokens; those whose size is not a tile's have no place."""
        places = [place for _, place in self.runs if place is not None]
        rows = 1 + max((row for row, _ in places), default=0)
        columns = 1 + max((column for _, column in places), default=0)
        for count, place in self.runs:
            if count != side**2:
                yield Grid(1, 1, count, _UNKNOWN)
            elif place is None:
                yield Grid(1, side, side)
            else:
                row, column = place
                box = (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
                yield Grid(1, side, side, box)


def _side(config: Any) -> int:
    """Tokens along one side of a tile; a rest of patches is filled up."""
    vision = config.vision_config
    return -(-int(vision.image_size // vision.patch_size) // int(vision.hidden_stride))


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """The ids tell it all: each tile's place follows from the indicators before it."""
    side = _side(config)
    return tuple(tuple(_of_row(config, row, side)) for row in tensors["input_ids"].tolist())


def _of_row(config: Any, row: list[int], side: int) -> Iterator[Grid]:
    start, whole, column, line, _ = config.visual_indicator_token_ids
    picture = _Picture()
    for token, run in groupby(row):
        if token == config.image_token_id:
            picture.runs.append((len(list(run)), picture.place))
        elif token == start:
            yield from picture.grids(side)
            picture = _Picture()
        elif token == whole:
            picture.place = (0, 0)
        elif picture.place is not None and token in (column, line):
            y, x = picture.place
            picture.place = (y, x + 1) if token == column else (y + 1, 0)
    yield from picture.grids(side)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    from transformers.models.ovis2.image_processing_pil_ovis2 import get_min_tile_covering_grid

    start, whole, column, line, end = config.visual_indicator_token_ids
    size, tile = config.vision_config.image_size, [config.image_token_id] * _side(config) ** 2
    ids, squares = [], 0
    for item in media:
        # The processor takes the first for columns, whatever the function calls it.
        columns, rows = get_min_tile_covering_grid((item.height, item.width), size, _MOST_TILES)
        tiles: list[int] = []
        for n in range(rows * columns if rows * columns > 1 else 0):
            tiles += [line if n % columns == 0 else column] if n else []
            tiles += tile
        ids.append([start, *tile, whole, *tiles, end])
        squares += 1 if rows * columns == 1 else 1 + rows * columns
    return Synthetic(ids, {"pixel_values": noise(squares, 3, size, size)} if media else {})


OVIS2 = Family(
    name="ovis2",
    model_types=("ovis2",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    vision_tower=vision_tower,
    media=("image", "images"),
    synthetic=_synthetic,
)
