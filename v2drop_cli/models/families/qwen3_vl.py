"""Qwen3-VL: interleaved M-RoPE, DeepStack, frames between timestamps (arXiv 2511.21631).

Every ``<|image_pad|>`` and ``<|video_pad|>`` is droppable. A video is one span a time step, each
after its timestamp and between ``<|vision_start|>`` and ``<|vision_end|>``, which are text and
stay.

DeepStack adds features of the vision tower to the output of the first decoder layers (three in
the published models), at the full prompt's positions; so the first layer whose input may be
shortened is the one after them, and its variation includes the last addition.

Cosmos3 Omni is the same model under another name: what of it makes videos and sound, transformers
does not load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    FRAMES_PER_S,
    WORD,
    Limits,
    Patches,
    clip_patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# preprocessor_config.json and video_preprocessor_config.json of Qwen/Qwen3-VL-*-Instruct.
IMAGE_LIMITS = Limits(256 * 256, 4096 * 4096)
VIDEO_LIMITS = Limits(64 * 64, 24 * 1024 * 1024)  # of all frames together


def thw_grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image and per time step of a video, in prompt order."""
    merge = config.vision_config.spatial_merge_size
    waiting = {
        config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: steps_of(tensors.get("video_grid_thw"), merge),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def steps_of(thw: Tensor | None, merge: int) -> Iterator[tuple[Grid, ...]]:
    """Grids of tokens of each time step, from videos' grids of patches ``[n, 3]``."""
    for (video,) in grids_of(thw, merge):
        yield from [(Grid(1, video.h, video.w),)] * video.t


def process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a video of fewer frames than a time step has, or of longer pictures
            than the processor takes.
    """
    check_frames(config, media)
    check_ratio(config, media, enlarged=("video",))
    return chat.process(processor, config, media, prompt)


def check_frames(config: Any, media: Sequence[Media]) -> None:
    """Refuse a video of fewer frames than a time step has."""
    least = config.vision_config.temporal_patch_size
    if any(item.kind == "video" and len(item.frames) < least for item in media):
        raise too_few_frames(config, least)


def too_few_frames(config: Any, least: int) -> MediaArgumentError:
    """What is raised for a video of fewer than ``least`` frames."""
    return MediaArgumentError(
        f"{config.model_type} models take videos of {least} frames and more",
        hint=f"sample more: --frames {least}; or pass the frame as --image",
    )


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the published limits.

    Times are text, so their length is an estimate: a token a digit, frames half a second apart.
    """
    return synthetic_patches(config, media, _patches, span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    if item.frames is None:
        return frame_patches(config, item, IMAGE_LIMITS)
    return clip_patches(config, item, VIDEO_LIMITS)


def span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    """The ids of a picture, or of a clip with a time before each step, delimiters included."""
    start, end = [config.vision_start_token_id], [config.vision_end_token_id]
    n = tokens_of(config, patches)
    if item.frames is None:
        return start + [config.image_token_id] * n + end
    frames = config.vision_config.temporal_patch_size
    ids: list[int] = []
    for step in range(patches[0]):
        # "<0.2 seconds>": a token each for "<", every digit, the point, " seconds" and ">".
        middle_s = (step * frames + (frames - 1) / 2) / FRAMES_PER_S
        time = [WORD] * (len(f"{middle_s:.1f}") + 3)
        ids += time + start + [config.video_token_id] * n + end
    return start + ids + end  # the chat template's own delimiters stay around the steps


QWEN3_VL = Family(
    name="qwen3_vl",
    model_types=("qwen3_vl", "cosmos3_omni"),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    first_droppable_layer=lambda config: len(config.vision_config.deepstack_visual_indexes),
    full_until="DeepStack adds vision features after each of those, to the whole prompt",
    synthetic=_synthetic,
)
