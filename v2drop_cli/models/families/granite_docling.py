"""Granite Docling: a page as square tiles and once whole, DeepStack, a Granite decoder.

Every ``<image>`` is one vision token and all of them are droppable. What says which tile comes
next (``<row_1_col_2>``, ``<global-img>``, the tokens around them, line breaks) is text and stays.
A page on the fine path has four times as many tokens a tile. The model takes no video.

DeepStack adds features of the vision tower to the output of the first decoder layers (three in
the published models), at the full prompt's positions; so the first layer whose input may be
shortened is the one after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.base import IMAGE, Family, Grids, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_TILES = "tiles"  # [n, 2]: rows and columns of each page
_PUBLISHED_TILES = (1, 32)  # fewest and most


def _multimodal(model: Module) -> Module:
    """The ``XModel``; its decoder is called ``text_model``, its tower holds the connector."""
    for module in model.modules():
        if {"text_model", "vision_model"} <= module._modules.keys():
            return module
    raise UnsupportedModelError(f"{type(model).__name__} holds no text_model")


def _decoder(model: Module) -> Module:
    found: Module = _multimodal(model).text_model  # type: ignore[assignment]
    return found


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn, and how its pages were cut."""
    tensors = dict(process_images(processor, config, media, prompt))
    sizes = [item.frames[0].size for item in media]
    tiles = [processor.image_processor.get_tile_grid(high, wide) for wide, high in sizes]
    return tensors | {_TILES: torch.tensor(tiles).reshape(-1, 2)}


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """A grid a tile; without a place where nothing tells how a page was cut."""
    tiles = iter(tensors.get(_TILES, torch.empty(0, 2)).tolist())
    found = []
    for row in tensors["input_ids"].tolist():
        runs = [len(list(run)) for token, run in groupby(row) if token == config.image_token_id]
        found.append(tuple(_row([isqrt(run) for run in runs], tiles)))
    return tuple(found)


def _row(sides: Sequence[int], tiles: Iterator[Sequence[int]]) -> Iterator[Grid]:
    """Tiles of each page in raster order, then the page as a whole, if it is more than one."""
    at = 0
    while at < len(sides):
        rows, columns = next(tiles, (0, 0))
        if not rows:
            yield from (Grid(1, side, side, (1.0, 1.0, 1.0, 1.0)) for side in sides[at:])
            return
        side = sides[at]
        for row, column in (divmod(i, columns) for i in range(rows * columns)):
            box = (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
            yield Grid(1, side, side, box)
        if rows * columns > 1:
            yield Grid(1, side, side)
        at += rows * columns + (rows * columns > 1)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Pages on the coarse path; markers are counted, and their ids mean nothing."""
    from transformers.models.granite_docling.image_processing_pil_granite_docling import (
        get_page_tile_grid,
    )

    vision, mark, tiles = config.vision_config, config.image_token_id - 1, 0
    size = {"height": vision.image_size, "width": vision.image_size}
    side = vision.image_size // vision.patch_size // vision.scale_factor
    tile = [mark, mark, *[config.image_token_id] * side**2]
    ids: list[list[int]] = []
    for item in media:
        cut = get_page_tile_grid(item.height, item.width, size, True, *_PUBLISHED_TILES)
        whole = [mark, *tile, mark] if cut[0] * cut[1] > 1 else []
        ids.append([*[*tile * cut[1], mark] * cut[0], *whole])
        tiles += cut[0] * cut[1] + bool(whole)
    if not tiles:
        return Synthetic(ids, {})
    pixels = noise(1, tiles, 3, vision.image_size, vision.image_size)
    mask = torch.ones(1, tiles, dtype=torch.bool)
    return Synthetic(ids, {"pixel_values": pixels, "pixel_attention_mask": mask})


GRANITE_DOCLING = Family(
    name="granite_docling",
    model_types=("granite_docling",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    grid_tensors=(_TILES,),
    multimodal=_multimodal,
    decoder=_decoder,
    first_droppable_layer=lambda config: len(config.vision_config.deepstack_visual_indexes),
    full_until="DeepStack adds features at the whole prompt's positions before it",
    media=("image", "images"),
    synthetic=_synthetic,
)
