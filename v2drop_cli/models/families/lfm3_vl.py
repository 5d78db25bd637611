"""LFM3-VL: convolutions, sliding windows and full attention in one decoder.

Every image and video pad is one vision token, 32 x 32 pixels of an image or of two frames; all are
droppable. A video is one span a time step, after its time and between ``<|vision_start|>`` and
``<|vision_end|>``, which are text and stay. Positions have one axis.

Of four layers two are convolutions over the last seven tokens, survivors after a drop; one has a
sliding window, counted in the prompt's positions; one sees all. See ``docs/dropping.md``. A bias in
a convolution would leave a trace of padding: there is none by default, and one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.families.lfm2_vl import refuse_biased_convolutions
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.families.qwen3_vl import process, span, thw_grids
from v2drop_cli.models.projections import Projections
from v2drop_cli.models.synthetic.patches import (
    Limits,
    Patches,
    clip_patches,
    frame_patches,
    synthetic_patches,
)

# Of its processor's classes: no checkpoint's file is known. All frames of a clip together.
_IMAGE_LIMITS, _VIDEO_LIMITS = Limits(56 * 56, 1280 * 28 * 28), Limits(128 * 32 * 32, 768 * 32 * 32)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Times are text, so their length is an estimate, as in Qwen3-VL."""
    return synthetic_patches(config, media, patches, span)


def patches(config: Any, item: SyntheticMedia) -> Patches:
    """Patches of a made-up picture, or of a clip, within these limits."""
    if item.frames is None:
        return frame_patches(config, item, _IMAGE_LIMITS)
    return clip_patches(config, item, _VIDEO_LIMITS)


LFM3_VL = Family(
    name="lfm3_vl",
    model_types=("lfm3_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    vision_tower=vision_tower,
    projector=projector,
    # Its norm has a name of its own.
    projections=Projections(norm=lambda layer: layer.operator_norm, refusal=lambda config: None),
    refusal=refuse_biased_convolutions,
    synthetic=_synthetic,
)
