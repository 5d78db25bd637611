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

from v2drop_cli.models.base import IMAGE, Family, Grids
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.shapes import check_padded
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_SHRUNK = 4  # of SAM's patches, each way
_SQUARES = "squares"  # [n, 4]: where the square of the whole page lies over the page
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
    patches: int = pixels.shape[-1] // config.vision_config.sam_config.patch_size
    return math.ceil(patches / _SHRUNK)


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
)
