"""EXAONE 4.5: Qwen2.5-VL's pictures and videos, positions of one axis, sliding windows.

Every image and video pad is one vision token, 28 x 28 pixels of one image or of two frames; all of
them are droppable. What begins and ends a picture is text and stays. The decoder counts positions
one after the other, pictures too. Three layers of four have a window and rotary tables; each
fourth has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.families.qwen2_vl import process, thw_grids
from v2drop_cli.models.synthetic.patches import (
    WORD,
    Limits,
    Patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)

# Fewest and most tokens of a picture, and of each frame, of its processor's classes: no file of
# a checkpoint is known.
_OF_IMAGE, _OF_FRAME = (4, 1280), (128, 768)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """The configuration names no ids of delimiters: they are words."""
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    vision = config.vision_config
    token = (vision.patch_size * vision.spatial_merge_size) ** 2
    least, most = _OF_IMAGE if item.frames is None else _OF_FRAME
    return frame_patches(config, item, Limits(least * token, most * token))


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    token = config.image_token_id if item.frames is None else config.video_token_id
    return [WORD, *[token] * (patches[0] * tokens_of(config, patches)), WORD]


EXAONE4_5 = Family(
    name="exaone4_5",
    model_types=("exaone4_5",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    synthetic=_synthetic,
)
