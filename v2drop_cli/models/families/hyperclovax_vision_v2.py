"""HyperCLOVA X SEED vision models: Qwen2.5-VL's tower, positions of one axis, images and video.

Every image and video pad is one vision token, 28 x 28 pixels of one image or of two frames, and
all of them are droppable; what delimits them, and the words about a video's length, are text and
stay. Tokens are Qwen2-VL's, positions are not: the decoder counts along one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.families.qwen2_vl import PUBLISHED, process, thw_grids
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.synthetic.patches import (
    Patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within Qwen2.5-VL's limits; the configuration names no delimiters."""
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    return frame_patches(config, item, PUBLISHED)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    token = config.image_token_id if item.frames is None else config.video_token_id
    return [token] * (patches[0] * tokens_of(config, patches))


def _part(model: Module, name: str) -> Module:
    part: Module = getattr(inner_model(model), name)
    return part


HYPERCLOVAX = Family(
    name="hyperclovax_vision_v2",
    model_types=("hyperclovax_vision_v2",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    vision_tower=lambda model: _part(model, "vision_model"),
    projector=lambda model: _part(model, "projector"),
    synthetic=_synthetic,
)
