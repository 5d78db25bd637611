"""MiniCPM-V 4.7 at tiny size: pictures on a canvas of three axes."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import MiniCPMV4_7Config, MiniCPMV4_7ForConditionalGeneration, Qwen3_5TextConfig

from v2drop_cli.prove.cases.minicpmv4_6 import CASE as MINICPMV4_6
from v2drop_cli.prove.cases.minicpmv4_6 import END, LINE, SIZES, SLICE, SLICE_END, START
from v2drop_cli.prove.cases.qwen3_5 import LAYERS

MARKERS = {
    "image_start_id": START,
    "image_end_id": END,
    "slice_start_id": SLICE,
    "slice_end_id": SLICE_END,
    "newline_id": LINE,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return MiniCPMV4_7Config(text_config=Qwen3_5TextConfig(**{**text, **LAYERS}), **SIZES, **ids)


CASE = dataclasses.replace(
    MINICPMV4_6,
    name="minicpmv4_7",
    model=MiniCPMV4_7ForConditionalGeneration,
    config=config,
    ids={**MINICPMV4_6.ids, **MARKERS},
    types=True,
)
