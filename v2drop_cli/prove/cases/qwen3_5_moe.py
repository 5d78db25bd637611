"""Qwen3.5 with experts at tiny size."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_5 import CASE as QWEN3_5
from v2drop_cli.prove.cases.qwen3_5 import LAYERS, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Four experts, two of them for a token, and one that all tokens share."""
    experts: dict[str, Any] = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    }
    text = {**experts, **text, **LAYERS}
    return Qwen3_5MoeConfig(vision_config=VISION, text_config=text, **ids)


CASE = dataclasses.replace(
    QWEN3_5,
    name="qwen3_5_moe",
    model=Qwen3_5MoeForConditionalGeneration,
    config=config,
    smooth={"num_experts_per_tok": 4},
)
