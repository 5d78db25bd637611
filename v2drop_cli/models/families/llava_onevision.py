"""LLaVA-OneVision: any-resolution tiles, several images, pooled video (arXiv 2408.03326).

An image alone is its thumbnail (27 x 27 tokens) and its tiles joined to one picture, cut to its
shape, with a learned newline token after each row. Images of a prompt with several are a
thumbnail and one newline each. A video is 14 x 14 pooled tokens a frame and one newline.

All of them carry the placeholder's id and all are droppable, newlines too: they compete for
places like any other token of the span, and a schedule's counts include them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.shown import WHOLE, Box, as_processed, placed, squared
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.models.synthetic.tiles import clips, placeholders, tiled_images
from v2drop_cli.records import Grid, MediaRecord

# Shrunk only if it is clearly too large, as in the model.
_TOLERATED = 1.1


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = _waiting(config, tensors)
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _waiting(config: Any, tensors: Mapping[str, Tensor]) -> dict[int, Iterator[tuple[Grid, ...]]]:
    side = config.vision_config.image_size // config.vision_config.patch_size
    return {
        config.image_token_id: _images(config, tensors, side),
        config.video_token_id: _videos(tensors.get("pixel_values_videos"), math.ceil(side / 2)),
    }


def _images(config: Any, tensors: Mapping[str, Tensor], side: int) -> Iterator[tuple[Grid, ...]]:
    sizes = tensors["image_sizes"].tolist() if "image_sizes" in tensors else []
    per_prompt = tensors["batch_num_images"].tolist() if "batch_num_images" in tensors else []
    alone = [n == 1 for n in per_prompt for _ in range(n)] or [True] * len(sizes)
    for size, is_alone in zip(sizes, alone, strict=True):
        thumbnail = Grid(1, side, side)
        if is_alone:
            rows, columns = _tiled(config, size, side)
            yield thumbnail, with_newlines(rows, columns)
        else:
            yield thumbnail, NEWLINE


def _tiled(config: Any, size: list[int], side: int) -> tuple[int, int]:
    """Rows and columns of the joined tiles of a picture of ``size`` (height, width) pixels."""
    rows, columns = unpadded(config, size, side)
    most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
    ratio = math.sqrt(rows * columns / (most * side**2))
    if ratio > _TOLERATED:
        rows, columns = int(rows // ratio), int(columns // ratio)
    return rows, columns


def unpadded(config: Any, size: list[int], side: int) -> tuple[int, int]:
    """Rows and columns of tokens once the padding of the tiles is cut, by the model's own code."""
    from transformers.models.llava_next.modeling_llava_next import (
        get_anyres_image_grid_shape,
        unpad_image,
    )

    tiles = get_anyres_image_grid_shape(
        size, config.image_grid_pinpoints, config.vision_config.image_size
    )
    canvas = torch.empty(1, tiles[0] * side, tiles[1] * side)
    rows, columns = unpad_image(canvas, size).shape[1:]
    return rows, columns


def anyres_shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of the picture in the thumbnail; the joined tiles may begin and end beside its edges.

    The picture was scaled to fit the tiles and put into their middle. The model then cuts whole
    tokens off the padding, so that some of it is left, or a little of the picture is lost. One of
    several pictures is not cut into tiles but made square. Frames of a video are resized.
    """
    if record.kind != "image" or len(grids) != 2:  # thumbnail and tiles
        return as_processed(processor, config, record, grids)
    if grids[1] == NEWLINE:
        return squared(record), None
    return WHOLE, _tiles_shown(config, record, grids[0].h)


def _tiles_shown(config: Any, record: MediaRecord, side: int) -> Box:
    """Where the joined tiles lie over the picture, in tokens of the tiles."""
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

    size, square = [record.height, record.width], config.vision_config.image_size
    tiles = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, square)
    canvas = [count * square for count in tiles]
    scale = min(whole / part for whole, part in zip(canvas, size, strict=True))
    high, wide = (
        min(math.ceil(part * scale), whole) for part, whole in zip(size, canvas, strict=True)
    )
    kept = unpadded(config, size, side)
    # In pixels of the canvas: what the model kept begins at `top`, the picture at `y`.
    top, left = ((n * side - k) // 2 * square / side for n, k in zip(tiles, kept, strict=True))
    y, x = (canvas[0] - high) // 2, (canvas[1] - wide) // 2
    rest = kept[1] * square / side, kept[0] * square / side
    return placed((x - left, y - top), (wide, high), rest)


def _videos(pixels: Tensor | None, side: int) -> Iterator[tuple[Grid, ...]]:
    for video in pixels if pixels is not None else ():
        yield Grid(len(video), side, side), NEWLINE


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    images = [item for item in media if item.frames is None]
    tensors = tiled_images(config, images, alone=len(images) == 1)
    if images:
        tensors["batch_num_images"] = torch.tensor([len(images)])
    tensors |= clips(config, [item for item in media if item.frames is not None])
    return Synthetic(placeholders(config, media, _waiting(config, tensors)), tensors)


LLAVA_ONEVISION = Family(
    name="llava_onevision",
    model_types=("llava_onevision",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=process,
    shown=anyres_shown,
    vision_tower=vision_tower,
    projector=projector,
    synthetic=_synthetic,
)
