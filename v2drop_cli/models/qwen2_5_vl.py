"""Qwen2.5-VL: Qwen2-VL with absolute time in its positions (arXiv 2502.13923).

Tokens and positions as in Qwen2-VL: every ``<|image_pad|>`` and ``<|video_pad|>`` is droppable,
``<|vision_start|>`` and ``<|vision_end|>`` stay. A video's time axis counts real seconds, which
the processor takes from the frames' times. The vision tower's windowed attention lies before
the decoder and is not touched.
"""

from __future__ import annotations

from v2drop_cli.models.base import IMAGE, VIDEO, Family
from v2drop_cli.models.chat import process
from v2drop_cli.models.qwen2_vl import thw_grids

QWEN2_5_VL = Family(
    name="qwen2_5_vl",
    model_types=("qwen2_5_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
)
