"""ViP-LLaVA at tiny size: several states of a CLIP tower side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from v2drop_cli.prove.cases.llava import CASE as LLAVA
from v2drop_cli.prove.cases.llava import CLIP


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; its projector is given three of the tower's states."""
    # Newer releases take it by this older name too.
    states: dict[str, Any] = {"vision_feature_layers": [-2, -1, 1]}
    return VipLlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        **states,
        image_seq_length=16,
        **ids,
    )


CASE = dataclasses.replace(
    LLAVA, name="vipllava", model=VipLlavaForConditionalGeneration, config=config
)
