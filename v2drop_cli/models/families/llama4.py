"""Llama 4: square tiles row by row and once whole, a decoder that attends in chunks.

Every ``<|patch|>`` is one vision token and all of them are droppable: tiles and whole picture
compete for the same places. What lies between them (``<|tile_x_separator|>`` after a tile,
``<|tile_y_separator|>`` after a row of them, ``<|image|>`` before the whole, ``<|image_start|>``
and ``<|image_end|>`` around it all) is text and stays. The model takes no video.

Three layers of four have rotary tables and attend in chunks; each fourth has none, attends to
everything, and scales its queries by how far into the sequence they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import Module

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.decoders import refuse_decoder
from v2drop_cli.models.families.llava import projector
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.refused import LAST_SOUND
from v2drop_cli.models.releases import release
from v2drop_cli.models.shown import WHOLE, Box, placed
from v2drop_cli.models.spans import tile_boxes
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid, MediaRecord

_PUBLISHED_TILES = 16  # the most that a picture is cut into


def _decoder(model: Module) -> Module:
    """The text decoder, inside a causal language model of its own."""
    decoder: Module = inner_model(model).language_model.model  # type: ignore[assignment,union-attr]
    return decoder


def _vision_tower(model: Module) -> Module:
    """What encodes the tiles, and shuffles patches into tokens."""
    tower: Module = inner_model(model).vision_model  # type: ignore[assignment]
    return tower


def _side(config: Any) -> int:
    """Tokens along one side of a tile."""
    vision = config.vision_config
    return int(vision.image_size // vision.patch_size * vision.pixel_shuffle_ratio)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    side = _side(config)
    return tuple(_row(ids, config.image_token_id, side) for ids in tensors["input_ids"].tolist())


def _row(ids: list[int], token: int, side: int) -> tuple[Grid, ...]:
    """One grid per tile or whole picture; no tensor says how a picture was cut, its ids do."""
    starts = [i for i, x in enumerate(ids) if x == token and (not i or ids[i - 1] != token)]
    if not starts:
        return ()
    # A picture ends with its whole view, so the marker before the last run stands for "whole".
    whole = ids[starts[-1] - 1]
    grids: list[Grid] = []
    after: list[int] = []  # what follows each tile of this picture; a row's last has its own sign
    for start in starts:
        if ids[start - 1] != whole:
            after.append(ids[start + side**2])
            continue
        if after:
            rows = after.count(after[-1])
            boxes = tile_boxes(rows, len(after) // rows)
            grids += [Grid(1, side, side, box) for box in boxes]
        grids.append(Grid(1, side, side))
        after = []
    return tuple(grids)


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of it in the last view. The tiles have padding at the right and below.

    A picture that fits one tile has no view but that.
    """
    rule, boxes = processor.image_processor, [grid.box for grid in grids[:-1]] or [WHOLE]
    side = rule.size["height"]
    columns, rows = (round(1 / (boxes[0][far] - boxes[0][far - 2])) for far in (2, 3))
    sides, canvas = (record.width, record.height), (columns * side, rows * side)
    room = canvas
    if not rule.resize_to_max_canvas:  # it is not enlarged beyond one tile
        room = (min(max(sides[0], side), canvas[0]), min(max(sides[1], side), canvas[1]))
    scale = min(a / b for a, b in zip(room, sides, strict=True))
    wide, high = (max(1, math.floor(part * scale)) for part in sides)
    padded = placed((0, 0), (wide, high), canvas)
    return [padded] * (len(grids) - 1) + [WHOLE if len(grids) > 1 else padded]


@functools.cache
def _cuts(most: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of every way to cut a picture into tiles, in the processor's order."""
    by_shape: dict[float, list[tuple[int, int]]] = {}
    for count in range(most, 0, -1):
        for rows in range(1, count + 1):
            if count % rows == 0:
                columns = count // rows
                by_shape.setdefault(rows / columns, []).append((rows, columns))
    return tuple(cut for cuts in by_shape.values() for cut in cuts)


def _cut(side: int, image: SyntheticMedia) -> tuple[int, int]:
    """Rows and columns of tiles of ``side`` pixels, by the processor's own rule.

    The least enlargement, or else the least reduction, on the smallest canvas that has it. The
    processor's module needs torchvision, so its rule is written again here; a test compares.
    """
    cuts = torch.tensor(_cuts(_PUBLISHED_TILES))
    scales = torch.minimum(cuts[:, 1] * side / image.width, cuts[:, 0] * side / image.height)
    larger = scales[scales >= 1]
    fitting = cuts[scales == (larger.min() if len(larger) else scales.max())]
    rows, columns = fitting[fitting.prod(dim=1).argmin()].tolist()
    return rows, columns


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Ids beside the placeholder's only tell tiles, rows and whole pictures apart."""
    vision, token = config.vision_config, config.image_token_id
    tile, squares = [token] * _side(config) ** 2, 0
    next_tile, next_row, whole = (token - n for n in (3, 2, 1))
    ids: list[list[int]] = []
    for item in media:
        rows, columns = _cut(vision.image_size, item)
        run = [*tile, *[next_tile, *tile] * (columns - 1), next_row]
        tiles = run * rows if rows * columns > 1 else []
        ids.append([config.boi_token_id, *tiles, whole, *tile, config.eoi_token_id])
        squares += rows * columns + (rows * columns > 1)
    size = vision.image_size
    return Synthetic(ids, {"pixel_values": noise(squares, 3, size, size)} if media else {})


def _refusal(config: Any) -> str | None:
    last = LAST_SOUND["llama4"]
    if release(transformers.__version__) > release(last):
        return (
            f"its own forward fails in transformers {transformers.__version__}, which asks an "
            f"output for a field that it does not have; {last} works"
        )
    return refuse_decoder(config)


LLAMA4 = Family(
    name="llama4",
    model_types=("llama4",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    shown=_shown,
    decoder=_decoder,
    refusal=_refusal,
    vision_tower=_vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
