"""Qianfan-OCR at tiny size: InternVL's tower and tiles before a Qwen3 decoder."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import QianfanOCRConfig, QianfanOCRForConditionalGeneration, Qwen3Config

from v2drop_cli.prove.cases.internvl import CASE as INTERNVL
from v2drop_cli.prove.cases.internvl import VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return QianfanOCRConfig(
        vision_config=VISION,
        text_config=Qwen3Config(**text, head_dim=8),
        image_seq_length=4,
        **ids,
    )


CASE = dataclasses.replace(
    INTERNVL,
    name="qianfan_ocr",
    model=QianfanOCRForConditionalGeneration,
    config=config,
    video=None,
)
