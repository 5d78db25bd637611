"""Qwen3-VL, dense: interleaved M-RoPE, DeepStack, frames between timestamps (arXiv 2511.21631).

Every ``<|image_pad|>`` and ``<|video_pad|>`` is droppable. A video is one span a time step, each
after its timestamp and between ``<|vision_start|>`` and ``<|vision_end|>``, which are text and
stay.

DeepStack adds features of the vision tower to the output of the first decoder layers (three in
the published models), at the full prompt's positions; so the first layer whose input may be
shortened is the one after them, and its variation includes the last addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grid, Grids
from v2drop_cli.models.chat import process
from v2drop_cli.models.qwen2_vl import grids_of
from v2drop_cli.models.spans import walk


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    merge = config.vision_config.spatial_merge_size
    waiting = {
        config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: _steps(tensors.get("video_grid_thw"), merge),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _steps(thw: Tensor | None, merge: int) -> Iterator[tuple[Grid, ...]]:
    for (video,) in grids_of(thw, merge):
        yield from [(Grid(1, video.h, video.w),)] * video.t


QWEN3_VL = Family(
    name="qwen3_vl",
    model_types=("qwen3_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=process,
    first_droppable_layer=lambda config: max(1, len(config.vision_config.deepstack_visual_indexes)),
)
