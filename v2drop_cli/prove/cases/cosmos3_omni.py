"""Cosmos3 Omni at tiny size: Qwen3-VL under another name."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Cosmos3OmniConfig, Cosmos3OmniForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_vl import CASE as QWEN3_VL
from v2drop_cli.prove.cases.qwen3_vl import ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, "head_dim": 8, "rope_parameters": ROPE}
    return Cosmos3OmniConfig(vision_config=dict(VISION), text_config=text, **ids)


CASE = dataclasses.replace(
    QWEN3_VL,
    name="cosmos3_omni",
    variant_of="qwen3_vl",
    model=Cosmos3OmniForConditionalGeneration,
    config=config,
)
