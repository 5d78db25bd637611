"""LLaVA-NeXT (LLaVA-1.6): any-resolution tiles with newline tokens (CLIP or similar tower).

An image is its thumbnail (24 x 24 tokens) and its tiles joined to one picture, cut to its shape,
with a learned newline token after each row. All carry the placeholder's id and all are
droppable, newlines too: they compete for places like any other token of the span, and a
schedule's counts include them. Each of several images is tiled. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.families.llava_onevision import unpadded
from v2drop_cli.models.spans import walk, with_newlines
from v2drop_cli.models.synthetic.tiles import placeholders, tiled_images
from v2drop_cli.records import Grid


def anyres_grids(config: Any, tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    """Thumbnail and joined tiles of each image."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    for size in tensors["image_sizes"].tolist() if "image_sizes" in tensors else ():
        yield Grid(1, side, side), with_newlines(*unpadded(config, size, side))


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {config.image_token_id: anyres_grids(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tensors = tiled_images(config, media)
    waiting = {config.image_token_id: anyres_grids(config, tensors)}
    return Synthetic(placeholders(config, media, waiting), tensors)


LLAVA_NEXT = Family(
    name="llava_next",
    model_types=("llava_next",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
