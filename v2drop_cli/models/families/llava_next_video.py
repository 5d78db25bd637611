"""LLaVA-NeXT-Video: LLaVA-NeXT's images, and video frames pooled by 2 x 2.

An image is as in LLaVA-NeXT: thumbnail, joined tiles, newline tokens. A video frame is 12 x 12
tokens at 336 pixels, without separators. All carry a placeholder's id and all are droppable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.families.llava_next import anyres_grids
from v2drop_cli.models.families.llava_onevision import anyres_shown
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.tiles import clips, placeholders, tiled_images
from v2drop_cli.records import Grid


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = _waiting(config, tensors)
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _waiting(config: Any, tensors: Mapping[str, Tensor]) -> dict[int, Iterator[tuple[Grid, ...]]]:
    return {
        config.image_token_id: anyres_grids(config, tensors),
        config.video_token_id: _videos(config, tensors.get("pixel_values_videos")),
    }


def _videos(config: Any, pixels: Tensor | None) -> Iterator[tuple[Grid, ...]]:
    side = config.vision_config.image_size // config.vision_config.patch_size
    side //= config.spatial_pool_stride
    for video in pixels if pixels is not None else ():
        yield (Grid(len(video), side, side),)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tensors = tiled_images(config, [item for item in media if item.frames is None])
    tensors |= clips(config, [item for item in media if item.frames is not None])
    return Synthetic(placeholders(config, media, _waiting(config, tensors)), tensors)


LLAVA_NEXT_VIDEO = Family(
    name="llava_next_video",
    model_types=("llava_next_video",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=process,
    shown=anyres_shown,
    vision_tower=vision_tower,
    projector=projector,
    synthetic=_synthetic,
)
