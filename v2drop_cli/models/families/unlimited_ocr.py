"""Unlimited-OCR: tiles, a whole page and learned separators before a decoder with long answers.

A page larger than a tile is cut into two to thirty-two of them, joined to one picture; the whole
page follows, padded to a square, and a separator ends it. A learned newline ends each row of both.
All carry the placeholder's id and all are droppable: newlines and the separator compete like any
other token. The model takes no video.

The prompt stays in view to the end, and the answer has a sliding window of its own: see
``docs/dropping.md``. In padded batches transformers 5.23 shows rows their own padding once an
answer is longer than the window; with dropped tokens that is refused.
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
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_SHRUNK = 4  # of SAM's patches, each way
_SQUARES = "squares"  # [n, 4]: where the square of the whole page lies over the page
# Of transformers' processor: the fewest and most tiles, and a tile's side as a share of the page's.
_TILES, _TILE = (2, 32), 640 / 1024
_UNKNOWN = (1.0, 1.0, 1.0, 1.0)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn. Counts and cuts of tiles are plain lists, as the model takes them."""
    check_padded(processor, config, media)
    tensors = process_images(processor, config, media, prompt)
    return tensors | {_SQUARES: torch.tensor([_square(*item.frames[0].size) for item in media])}


def _square(width: int, height: int) -> tuple[float, float, float, float]:
    """A page is in the middle of its square."""
    side = max(width, height)
    left, top = (side - width) / 2 / width, (side - height) / 2 / height
    return -left, -top, 1 + left, 1 + top


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {config.image_token_id: _pictures(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _pictures(config: Any, tensors: Mapping[str, Any]) -> Iterator[tuple[Grid, ...]]:
    """Per page, its joined tiles if it was cut, the whole and the separator."""
    if "pixel_values" not in tensors:
        return
    side = _queries(config, tensors["pixel_values"])
    squares = iter(tensors[_SQUARES].tolist() if _SQUARES in tensors else [])
    counts, cuts = tensors["num_local_patches"], tensors["patches_grid"]
    for tiles, (columns, rows) in zip(counts, cuts, strict=True):
        left, top, right, bottom = next(squares, _UNKNOWN)
        # One more column, for the newlines, right of the square.
        right += (right - left) / side
        whole = Grid(1, side, side + 1, (left, top, right, bottom))
        small = _queries(config, tensors["pixel_values_local"]) if tiles else 0
        joined = (with_newlines(rows * small, columns * small),) if tiles else ()
        yield (*joined, whole, NEWLINE)


def _queries(config: Any, pixels: Tensor) -> int:
    """Tokens along one side of a square of ``pixels [n, 3, side, side]``."""
    patch = int(config.vision_config.sam_config.patch_size)
    return math.ceil(pixels.shape[-1] // patch / _SHRUNK)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Pages of the size that SAM was trained with; a tile is so many whole tokens wide."""
    from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import (
        get_optimal_tiled_canvas,
    )

    sam = config.vision_config.sam_config
    token = sam.patch_size * _SHRUNK
    tile = round(sam.image_size * _TILE / token) * token
    counts, cuts = [], []
    for item in media:
        size, cut, large = (item.height, item.width), (1, 1), max(item.height, item.width) > tile
        if large:  # by the rule of DeepSeek-OCR 2, which has a form without torchvision
            cut = get_optimal_tiled_canvas(size, (tile, tile), *_TILES)
        counts.append(math.prod(cut) if large else 0)
        cuts.append(list(cut))
    if not media:
        return Synthetic([], {})
    tensors: dict[str, Any] = {"num_local_patches": counts, "patches_grid": cuts}
    tensors["pixel_values"] = noise(len(media), 3, sam.image_size, sam.image_size)
    if sum(counts):
        tensors["pixel_values_local"] = noise(sum(counts), 3, tile, tile)
    pictures = _pictures(config, tensors)
    ids = [[config.image_token_id] * sum(grid.h * grid.w for grid in grids) for grids in pictures]
    return Synthetic(ids, tensors)


UNLIMITED_OCR = Family(
    name="unlimited_ocr",
    model_types=("unlimited_ocr",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    grid_tensors=(_SQUARES,),
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
