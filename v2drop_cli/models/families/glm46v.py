"""GLM-4.6V and GLM-GA: GLM-4.1V's tokens and positions, other times and sizes (arXiv 2507.01006).

The same tokens are droppable: every ``<|image|>``, also those of frames, 28 x 28 pixels each. A
frame's time is written as ``0.5 seconds``. The decoder may be GLM-4.1V's or, with experts,
GLM-4.5V's; that one not with flash kernels, see :mod:`.glm4v_moe`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_decoder
from v2drop_cli.models.families.glm4v import (
    GLM4V,
    IMAGE_LIMITS,
    VIDEO_LIMITS,
    frame_span,
    refuse_both,
)
from v2drop_cli.models.families.glm4v_moe import refuse_three_rows
from v2drop_cli.models.synthetic.patches import (
    FRAMES_PER_S,
    WORD,
    Limits,
    Patches,
    clip_patches,
    synthetic_patches,
)

# Of pictures and of videos. GLM-4.6V's files have GLM-4.1V's; of GLM-GA no file is known, and
# these are those of its processors in transformers.
_LIMITS = {
    "glmga": (Limits(112 * 112, 28 * 28 * 15000), Limits(112 * 112, 28 * 28 * 2 * 55790)),
}


def synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the published limits; the length of a time is an estimate."""
    refuse_both({"image" if item.frames is None else "video" for item in media}, config)
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    images, videos = _LIMITS.get(config.model_type, (IMAGE_LIMITS, VIDEO_LIMITS))
    return clip_patches(config, item, images if item.frames is None else videos)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    frame = frame_span(config, patches)
    if item.frames is None:
        return frame
    ids: list[int] = []
    for step in range(patches[0]):
        # "0.5 seconds": a token each for the digits, the point and " seconds".
        time_s = step * config.vision_config.temporal_patch_size / FRAMES_PER_S
        ids += [*frame, *[WORD] * (len(f"{time_s:.1f}") + 1)]
    return [config.video_start_token_id, *ids, config.video_end_token_id]


def _refusal(config: Any) -> str | None:
    return refuse_three_rows(config) or refuse_decoder(config)


GLM46V = dataclasses.replace(
    GLM4V,
    name="glm46v",
    model_types=("glm46v", "glmga"),
    refusal=_refusal,
    synthetic=synthetic,
)
