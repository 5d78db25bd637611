"""Qwen3.5 at tiny size: gated delta nets among layers with full attention, no DeepStack."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_vl import CASE as QWEN3_VL
from v2drop_cli.prove.cases.qwen3_vl import VISION as QWEN3_VL_VISION

# Heads of 16, of which half is rotated: four frequencies. A linear layer comes first, one after
# another, and on both sides of full attention.
LAYERS: dict[str, Any] = {
    "layer_types": [
        "linear_attention",
        "linear_attention",
        "full_attention",
        "full_attention",
        "linear_attention",
        "full_attention",
    ],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    # What a state gives at this size is small, and a norm that divides by it would enlarge what
    # is lost by rounding.
    "rms_norm_eps": 1e-2,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
        "rope_theta": 1e4,
    },
}
VISION = {name: QWEN3_VL_VISION[name] for name in QWEN3_VL_VISION if "deepstack" not in name}
VISION["depth"] = 2


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Qwen3_5Config(vision_config=VISION, text_config={**text, **LAYERS}, **ids)


CASE = dataclasses.replace(
    QWEN3_VL,
    name="qwen3_5",
    model=Qwen3_5ForConditionalGeneration,
    config=config,
    drops=((1, 0.5), (3, 0.5), (5, 1)),
    entry=((0, 0.5), (3, 0.5)),
)
