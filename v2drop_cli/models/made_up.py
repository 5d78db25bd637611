"""What families share in making up media: noise for pixels, placeholders counted by grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import Grid, MadeUp


def noise(*shape: int) -> Tensor:
    """Normalised pixels of nothing: standard normal, the same every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def placeholders(
    config: Any, media: Sequence[MadeUp], waiting: Mapping[int, Iterator[tuple[Grid, ...]]]
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


def tiled_images(config: Any, images: Sequence[MadeUp], alone: bool = True) -> dict[str, Tensor]:
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


def clips(config: Any, videos: Sequence[MadeUp]) -> dict[str, Tensor]:
    """Videos as processors of square frames give them.

    Returns:
        ``pixel_values_videos [n, frames, 3, side, side]``; nothing without videos.

    Raises:
        ValueError: clips of unequal length, which these processors cannot put in one batch.
    """
    if not videos:
        return {}
    if len({video.frames for video in videos}) > 1:
        raise ValueError("made-up videos of one prompt need the same number of frames")
    side = config.vision_config.image_size
    return {"pixel_values_videos": noise(len(videos), videos[0].frames or 0, 3, side, side)}
