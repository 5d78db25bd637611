"""Gemma 4 at tiny size, as its large models are: two-way pictures in windows, experts."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Gemma4Config, Gemma4TextConfig, Gemma4VisionConfig

from v2drop_cli.prove.cases.gemma4 import CASE as GEMMA4
from v2drop_cli.prove.cases.gemma4 import VISION, WINDOWS, layer_types


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Full layers have one head of keys, which are the values, too."""
    own: dict[str, Any] = {
        "layer_types": layer_types("wwfwwf"),
        "hidden_size_per_layer_input": 0,
        "use_bidirectional_attention": "vision",
        "attention_k_eq_v": True,
        "num_global_key_value_heads": 1,
        "enable_moe_block": True,
        "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 16,
    }
    return Gemma4Config(
        text_config=Gemma4TextConfig(**{**own, **text, **WINDOWS}),
        vision_config=Gemma4VisionConfig(**VISION),
        audio_config=None,
        **ids,
    )


CASE = dataclasses.replace(
    GEMMA4,
    name="gemma4_large",
    variant_of="gemma4",
    config=config,
    smooth={"top_k_experts": 4},
)
