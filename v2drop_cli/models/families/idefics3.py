"""Idefics3: a picture as square tiles, row by row, and once whole (arXiv 2408.12637).

Every ``<image>`` is one vision token and all of them are droppable. What says which tile comes
next (``<row_1_col_2>``, ``<global-img>``, the tokens around them, line breaks) is text and stays.
Tiles of several images, and whole pictures, compete for the same places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Grids,
    Placeholder,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.shown import whole
from v2drop_cli.models.spans import tile_boxes
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

# Tiles of one row are this far apart: the end of one and the marker of the next.
_BETWEEN = 2
# Published processors stretch a picture's longer side to so many tiles.
_LONGER_SIDE = 4
# Features of an earlier call, up to some version of transformers.
ENCODED = Placeholder(IMAGE.token_id, "image_hidden_states")


def multimodal(model: Module) -> Module:
    """The ``XModel`` with the connector; its decoder is called ``text_model``."""
    for module in model.modules():
        if {"text_model", "connector"} <= module._modules.keys():
            return module
    raise UnsupportedModelError(f"{type(model).__name__} holds no text_model")


def decoder(model: Module) -> Module:
    """The text decoder."""
    return _part(model, "text_model")


def vision_tower(model: Module) -> Module:
    """What encodes the tiles."""
    return _part(model, "vision_model")


def projector(model: Module) -> Module:
    """What shuffles patches into tokens."""
    return _part(model, "connector")


def _part(model: Module, name: str) -> Module:
    part: Module = getattr(multimodal(model), name)
    return part


def tile_grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per tile, whole picture or frame, in prompt order."""
    side = _side(config)
    return tuple(_row(ids, config.image_token_id, side) for ids in tensors["input_ids"].tolist())


def _side(config: Any) -> int:
    """Tokens along one side of a tile."""
    vision = config.vision_config
    return int(vision.image_size // vision.patch_size // config.scale_factor)


def _row(ids: list[int], token: int, side: int) -> tuple[Grid, ...]:
    starts = [i for i, x in enumerate(ids) if x == token and (not i or ids[i - 1] != token)]
    if not starts:
        return ()
    # A picture ends with its whole view, so the marker before the last run stands for "whole".
    whole = ids[starts[-1] - 1]
    grids: list[Grid] = []
    tiles: list[int] = []
    for start in starts:
        if ids[start - 1] == whole:
            grids += [Grid(1, side, side, box) for box in _boxes(tiles, side)]
            grids.append(Grid(1, side, side))
            tiles = []
        else:
            tiles.append(start)
    return tuple(grids)


def _boxes(starts: Sequence[int], side: int) -> list[tuple[float, float, float, float]]:
    """What each tile covers: rows end where more than a marker lies between two tiles."""
    if not starts:
        return []
    columns = 1
    while columns < len(starts):
        if starts[columns] - starts[columns - 1] != side**2 + _BETWEEN:
            break
        columns += 1
    return tile_boxes(len(starts) // columns, columns)


def synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Ids around the placeholders only tell tiles, rows and whole pictures apart.

    A frame's time is counted as one token; the words before a video are left out.
    """
    tokens, squares = [config.image_token_id] * _side(config) ** 2, 0
    edge, tile, whole = (config.image_token_id - n for n in (1, 2, 3))
    last = [edge, whole, *tokens, edge]
    ids: list[list[int]] = []
    for item in media:
        if item.frames is None:
            rows, columns = _cut(config.vision_config.image_size, item)
            ids.append([*[*[edge, tile, *tokens] * columns, tile] * rows, tile, *last])
            squares += rows * columns + 1
        else:
            ids.append([tile, *last] * item.frames)
            squares += item.frames
    size = config.vision_config.image_size
    if not squares:
        return Synthetic(ids, {})
    mask = torch.ones(1, squares, size, size, dtype=torch.long)
    pixels = noise(1, squares, 3, size, size)
    return Synthetic(ids, {"pixel_values": pixels, "pixel_attention_mask": mask})


def _cut(side: int, image: SyntheticMedia) -> tuple[int, int]:
    """Rows and columns of tiles of ``side`` pixels, by the processor's own rule."""
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        get_resize_output_image_size,
    )

    picture = np.broadcast_to(np.uint8(0), (3, image.height, image.width))
    height, width = get_resize_output_image_size(picture, _LONGER_SIDE * side)
    ratio = width / height
    if width >= height:
        columns = math.ceil(width / side)
        return math.ceil(int(columns * side / ratio) / side), columns
    rows = math.ceil(height / side)
    return rows, math.ceil(int(rows * side * ratio) / side)


IDEFICS3 = Family(
    name="idefics3",
    model_types=("idefics3",),
    placeholders=(IMAGE, ENCODED),
    grids=tile_grids,
    process=process_images,
    shown=whole,
    multimodal=multimodal,
    decoder=decoder,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=synthetic,
)
