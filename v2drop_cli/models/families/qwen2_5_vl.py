"""Qwen2.5-VL: Qwen2-VL with absolute time in its positions (arXiv 2502.13923).

Tokens and positions as in Qwen2-VL: every ``<|image_pad|>`` and ``<|video_pad|>`` is droppable,
``<|vision_start|>`` and ``<|vision_end|>`` stay. A video's time axis counts real seconds, which
the processor takes from the frames' times. The vision tower's windowed attention lies before
the decoder and is not touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.families.qwen2_vl import process, synthetic, thw_grids
from v2drop_cli.models.synthetic.patches import FRAMES_PER_S


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Qwen2-VL's, with the seconds a step of a video takes."""
    plain = synthetic(config, media)
    videos = sum(item.frames is not None for item in media)
    if not videos:
        return plain
    step_s = config.vision_config.temporal_patch_size / FRAMES_PER_S
    seconds = {"second_per_grid_ts": torch.tensor([step_s] * videos)}
    return dataclasses.replace(plain, tensors={**plain.tensors, **seconds})


QWEN2_5_VL = Family(
    name="qwen2_5_vl",
    model_types=("qwen2_5_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    synthetic=_synthetic,
)
