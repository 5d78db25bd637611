"""GLM-4.6V at tiny size: GLM-4.1V's tower and decoder under another class."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Glm46VConfig, Glm46VForConditionalGeneration

from v2drop_cli.prove.cases.glm4v import CASE as GLM4V
from v2drop_cli.prove.cases.glm4v import HEADS, ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Glm46VConfig(**parts(text), **ids)


def parts(text: dict[str, Any]) -> dict[str, Any]:
    """The configurations of its parts."""
    decoder = {**text, **HEADS, "rope_parameters": ROPE}
    return {
        "vision_config": {"model_type": "glm4v_vision", **VISION},
        "text_config": {"model_type": "glm4v_text", **decoder},
    }


CASE = dataclasses.replace(
    GLM4V, name="glm46v", model=Glm46VForConditionalGeneration, config=config
)
