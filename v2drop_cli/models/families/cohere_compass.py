"""Cohere's Compass vision models (North Micro Vision): Qwen3-VL's tower, a Cohere 2 decoder.

Tokens, positions and DeepStack are Qwen3-VL's: every image and video pad is droppable, delimiters
and times before frames are text and stay, and the first layer that can drop is the one after those
that DeepStack adds to. As in Cohere 2, some layers see a window, and some turn nothing: they are
handed no rotary tables, and know order by the mask alone.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.qwen3_vl import QWEN3_VL

COHERE_COMPASS = dataclasses.replace(
    QWEN3_VL, name="cohere_compass", model_types=("cohere_compass",)
)
