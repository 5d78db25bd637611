"""DeepSeek-OCR 2: learned queries read a page and its tiles in an order of their own.

A picture larger than a tile is cut into two to six of them; each becomes 144 tokens, the whole
picture becomes 256 after them, and a learned separator ends it. All carry the placeholder's id and
all are droppable: the separator competes like any other token. A query looks at all of its tile
and at the queries before it, so none has a place over the pixels. The model takes no video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.shapes import check_padded
from v2drop_cli.models.spans import NEWLINE, walk
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_FEW, _MANY = 144, 256  # the model's queries: for as many patches, and for more
_SHRUNK = 4  # of SAM's patches, each way
_TILES = (2, 6)  # of transformers' DeepseekOcr2Processor
_UNKNOWN = (1.0, 1.0, 1.0, 1.0)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_padded(processor, config, media)
    return process_images(processor, config, media, prompt)


def _queries(config: Any, pixels: Tensor) -> int:
    """Tokens of one square of ``pixels [n, 3, side, side]``."""
    patches = math.ceil(pixels.shape[-1] // config.vision_config.sam_config.patch_size / _SHRUNK)
    return _FEW if patches**2 <= _FEW else _MANY


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {config.image_token_id: _pictures(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _pictures(config: Any, tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    if "pixel_values" not in tensors:
        return
    whole, local = tensors["pixel_values"], tensors.get("pixel_values_local")
    per_tile = 0 if local is None else _queries(config, local)
    for tiles in torch.as_tensor(tensors["num_local_patches"]).tolist():
        shown = [per_tile] * tiles + [_queries(config, whole)]
        yield (*(Grid(1, 1, count, _UNKNOWN) for count in shown), NEWLINE)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Squares of the size that SAM was trained with, tiles of three quarters of it."""
    from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import (
        get_optimal_tiled_canvas,
    )

    side = config.vision_config.sam_config.image_size
    tile = side * 3 // 4
    counts = []
    for item in media:
        size = (item.height, item.width)
        large = max(size) > tile
        columns, rows = get_optimal_tiled_canvas(size, (tile, tile), *_TILES) if large else (0, 0)
        counts.append(columns * rows)
    if not media:
        return Synthetic([], {})
    tensors = {"pixel_values": noise(len(media), 3, side, side)}
    tensors["num_local_patches"] = torch.tensor(counts)
    if sum(counts):
        tensors["pixel_values_local"] = noise(sum(counts), 3, tile, tile)
    pictures = _pictures(config, tensors)
    ids = [[config.image_token_id] * sum(grid.w for grid in grids) for grids in pictures]
    return Synthetic(ids, tensors)


DEEPSEEK_OCR2 = Family(
    name="deepseek_ocr2",
    model_types=("deepseek_ocr2",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
