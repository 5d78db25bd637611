"""Idefics3: a picture as square tiles, row by row, and once whole (arXiv 2408.12637).

Every ``<image>`` is one vision token and all of them are droppable. What says which tile comes
next (``<row_1_col_2>``, ``<global-img>``, the tokens around them, line breaks) is text and stays.
Tiles of several images, and whole pictures, compete for the same places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.base import IMAGE, Family, Grid, Grids, Module
from v2drop_cli.models.chat import process_images

# Tiles of one row are this far apart: the end of one and the marker of the next.
_BETWEEN = 2


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
    vision = config.vision_config
    side = vision.image_size // vision.patch_size // config.scale_factor
    return tuple(_row(ids, config.image_token_id, side) for ids in tensors["input_ids"].tolist())


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
    rows = len(starts) // columns
    return [
        (c / columns, r / rows, (c + 1) / columns, (r + 1) / rows)
        for r, c in (divmod(i, columns) for i in range(len(starts)))
    ]


IDEFICS3 = Family(
    name="idefics3",
    model_types=("idefics3",),
    placeholders=(IMAGE,),
    grids=tile_grids,
    process=process_images,
    multimodal=multimodal,
    decoder=decoder,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
)
