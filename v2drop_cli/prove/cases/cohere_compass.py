"""Cohere's Compass vision model at tiny size: windows, and layers without rotary tables."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import CohereCompassConfig, CohereCompassForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_vl import CASE as QWEN3_VL
from v2drop_cli.prove.cases.qwen3_vl import ROPE, VISION

WINDOW = 10
# DeepStack adds to the first three; after them one layer of each kind, and one more.
KINDS = ("sliding_attention", "full_attention") * 3


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; layers without a window turn nothing, as in Cohere 2."""
    decoder = {
        **text,
        "head_dim": 8,
        "sliding_window": WINDOW,
        "layer_types": [KINDS[i % len(KINDS)] for i in range(text["num_hidden_layers"])],
        "rope_parameters": {"sliding_attention": ROPE, "full_attention": None},
    }
    return CohereCompassConfig(vision_config=VISION, text_config=decoder, **ids)


CASE = dataclasses.replace(
    QWEN3_VL,
    name="cohere_compass",
    model=CohereCompassForConditionalGeneration,
    config=config,
)
