"""Qwen3-VL with experts at tiny size."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_vl import CASE as QWEN3_VL
from v2drop_cli.prove.cases.qwen3_vl import ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """One layer without experts among the others; four experts, two of them for a token."""
    experts: dict[str, Any] = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "mlp_only_layers": [2],
    }
    text = {**experts, **text, "head_dim": 8, "rope_parameters": ROPE}
    return Qwen3VLMoeConfig(vision_config=VISION, text_config=text, **ids)


CASE = dataclasses.replace(
    QWEN3_VL,
    name="qwen3_vl_moe",
    model=Qwen3VLMoeForConditionalGeneration,
    config=config,
    smooth={"num_experts_per_tok": 4},
)
