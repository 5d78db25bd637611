"""Made-up media for families that cut pictures of any size into patches (M-RoPE families).

How a size is fitted is transformers' own arithmetic; the limits are those of the published
checkpoints' processors, named where they are used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import Synthetic, SyntheticMedia
from v2drop_cli.models.synthetic.tiles import noise

# Time steps, rows and columns of patches.
Patches = tuple[int, int, int]

# Any word does where a processor writes a time: its meaning is not timed. Id 0 is one in the
# vocabularies of Qwen ("!") and GLM.
WORD = 0

# The published video processors of these families sample so many frames a second.
FRAMES_PER_S = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pixels a processor lets through: ``least`` to ``most``."""

    least: int
    most: int


def frame_patches(
    config: Any, item: SyntheticMedia, limits: Limits, merge: int | None = None, resize: Any = None
) -> Patches:
    """Patches of a picture or video whose every frame is kept within ``limits``.

    Args:
        config: the model's.
        item: what to cut.
        limits: of a picture, or of each frame.
        merge: patches that a token covers each way, where the processor alone decides it.
        resize: the processor's own ``smart_resize``, where it is not Qwen2-VL's.

    Raises:
        MediaArgumentError: the processor would refuse this size.
    """
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    return _patches(config, item, limits, resize or smart_resize, merge)


def clip_patches(config: Any, item: SyntheticMedia, limits: Limits) -> Patches:
    """The same where all frames together are kept within ``limits``; a picture is one step.

    Raises:
        MediaArgumentError: the processor would refuse this size, or a video of one frame.
    """
    from transformers.models.glm4v.image_processing_pil_glm4v import smart_resize

    temporal = frames_a_step(config)
    frames = item.frames or temporal
    more = {"num_frames": frames, "temporal_factor": temporal}
    return _patches(config, item, limits, functools.partial(smart_resize, **more))


def _patches(
    config: Any, item: SyntheticMedia, limits: Limits, resize: Any, merge: int | None = None
) -> Patches:
    vision = config.vision_config
    merge = merge or vision.spatial_merge_size
    try:
        height, width = resize(
            height=item.height,
            width=item.width,
            factor=vision.patch_size * merge,
            min_pixels=limits.least,
            max_pixels=limits.most,
        )
    except ValueError as error:
        raise MediaArgumentError(f"{config.model_type} takes no such picture: {error}") from None
    steps = -(-(item.frames or 1) // frames_a_step(config))
    return steps, height // vision.patch_size, width // vision.patch_size


def frames_a_step(config: Any) -> int:
    """Frames of a time step: one in towers whose configuration knows no time."""
    vision = config.vision_config
    return int(getattr(vision, "temporal_patch_size", getattr(vision, "patch_temporal", 1)))


def tokens_of(config: Any, patches: Patches) -> int:
    """Vision tokens of one time step."""
    merge: int = config.vision_config.spatial_merge_size
    return patches[1] // merge * (patches[2] // merge)


def synthetic_patches(
    config: Any,
    media: Sequence[SyntheticMedia],
    patches: Callable[[Any, SyntheticMedia], Patches],
    ids: Callable[[Any, SyntheticMedia, Patches], Sequence[int]],
) -> Synthetic:
    """Media as ids and random patches.

    Args:
        config: the model's.
        media: what to make up; pictures and videos may be mixed.
        patches: (config, one of them) → its patches.
        ids: (config, one of them, its patches) → its token ids, delimiters included.
    """
    cut = [(item, patches(config, item)) for item in media]
    tensors: dict[str, Tensor] = {}
    images = [grid for item, grid in cut if item.frames is None]
    videos = [grid for item, grid in cut if item.frames is not None]
    if images:
        tensors |= {"pixel_values": _pixels(config, images), "image_grid_thw": torch.tensor(images)}
    if videos:
        tensors |= {
            "pixel_values_videos": _pixels(config, videos),
            "video_grid_thw": torch.tensor(videos),
        }
    return Synthetic([ids(config, item, grid) for item, grid in cut], tensors)


def _pixels(config: Any, grids: Sequence[Patches]) -> Tensor:
    """``[patches, 3 · frames a step · side²]`` normal noise: about what normalised pixels are."""
    vision = config.vision_config
    rows = sum(t * h * w for t, h, w in grids)
    columns = 3 * frames_a_step(config) * vision.patch_size**2
    return noise(rows, columns)
