"""GLM-OCR at tiny size: a tower and a decoder of its own, with GLM-4.1V's tokens."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import GlmOcrConfig, GlmOcrForConditionalGeneration

from v2drop_cli.prove.cases.glm4v import CASE as GLM4V
from v2drop_cli.prove.cases.glm4v import HEADS, ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, **HEADS, "rope_parameters": ROPE}
    return GlmOcrConfig(vision_config=VISION, text_config=text, **ids)


CASE = dataclasses.replace(
    GLM4V, name="glm_ocr", model=GlmOcrForConditionalGeneration, config=config
)
