"""What families share in making up media: noise for pixels, placeholders counted by grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v2drop_cli.models.base import Synthetic, SyntheticMedia
from v2drop_cli.records import Grid

_SHAPES_ONLY: ContextVar[bool] = ContextVar("shapes_only", default=False)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Noise that has its shape and takes no memory, for whoever asks only how large a prompt is."""
    token = _SHAPES_ONLY.set(True)
    try:
        yield
    finally:
        _SHAPES_ONLY.reset(token)


def noise(*shape: int) -> Tensor:
    """Normalised pixels of nothing: standard normal, the same every time."""
    if _SHAPES_ONLY.get():
        return torch.zeros(()).expand(shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def placeholders(
    config: Any, media: Sequence[SyntheticMedia], waiting: Mapping[int, Iterator[tuple[Grid, ...]]]
) -> list[list[int]]:
    """Per image or video, its placeholder as often as its grids have tokens.

    Args:
        config: the model's.
        media: in prompt order.
        waiting: per placeholder id, the grids of each image or video, as for ``spans.walk``.
    """
    ids = []
    for item in media:
        token = config.image_token_id if item.frames is None else config.video_token_id
        ids.append([token] * sum(grid.t * grid.h * grid.w for grid in next(waiting[token])))
    return ids


def tiled_images(
    config: Any, images: Sequence[SyntheticMedia], alone: bool = True
) -> dict[str, Tensor]:
    """Images as any-resolution processors give them.

    Args:
        config: the model's, with ``image_grid_pinpoints``.
        images: what to show.
        alone: whether they are tiled; if not, each is its thumbnail.

    Returns:
        ``pixel_values [n, most tiles, 3, side, side]`` and ``image_sizes [n, 2]`` (height,
        width); nothing without images.
    """
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    if not images:
        return {}
    side = config.vision_config.image_size
    sizes = [(image.height, image.width) for image in images]
    tiles = [image_size_to_num_patches(s, config.image_grid_pinpoints, side) for s in sizes]
    most = max(tiles) if alone else 1
    return {
        "pixel_values": noise(len(images), most, 3, side, side),
        "image_sizes": torch.tensor(sizes),
    }


def sized_pictures(config: Any, media: Sequence[SyntheticMedia], patch: int) -> Synthetic:
    """Pictures of any size as Pixtral's processor gives them; every frame is one.

    A break follows each row of placeholders but the last, an end that: the next ids but one and
    but two, as in the published tokenizers.

    Args:
        config: the model's; its tower's size is the longest side that is not shrunk.
        media: in prompt order.
        patch: pixels a token covers, each way.
    """
    ids: list[list[int]] = []
    sizes: list[tuple[int, int]] = []
    token = config.image_token_id
    for item in media:
        height, width = fitted(config, item, patch)
        rows = [*[token] * (width // patch), token + 2] * (height // patch)
        ids.append([*rows[:-1], token + 3] * (item.frames or 1))
        sizes += [(height, width)] * (item.frames or 1)
    return Synthetic(ids, padded(sizes))


def fitted(config: Any, item: SyntheticMedia, patch: int) -> tuple[int, int]:
    """Height and width of a picture as Pixtral's processor resizes it, whole patches each way."""
    from transformers.models.pixtral.image_processing_pil_pixtral import (
        get_resize_output_image_size,
    )

    longest: int = config.vision_config.image_size
    picture = np.broadcast_to(np.uint8(0), (item.height, item.width, 3))
    height, width = get_resize_output_image_size(picture, longest, patch, "channels_last")
    return height, width


def padded(sizes: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    """Pictures of these heights and widths, all as large as the largest; nothing without any."""
    if not sizes:
        return {}
    height, width = (max(side) for side in zip(*sizes, strict=True))
    pixels = noise(len(sizes), 3, height, width)
    return {"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}


def square_clips(side: int, videos: Sequence[SyntheticMedia]) -> dict[str, Tensor]:
    """Videos as processors of square frames give them.

    Args:
        side: pixels of a frame, each way.
        videos: what to show.

    Returns:
        ``pixel_values_videos [n, frames, 3, side, side]``; nothing without videos.

    Raises:
        ValueError: clips of unequal length, which these processors cannot put in one batch.
    """
    if not videos:
        return {}
    if len({video.frames for video in videos}) > 1:
        raise ValueError("made-up videos of one prompt need the same number of frames")
    return {"pixel_values_videos": noise(len(videos), videos[0].frames or 0, 3, side, side)}


def clips(config: Any, videos: Sequence[SyntheticMedia]) -> dict[str, Tensor]:
    """The same for frames of the size that the configuration names."""
    return square_clips(config.vision_config.image_size, videos)
