"""LightOnOCR at tiny size: Pixtral's tower, merged patches in one run, a Qwen3 decoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import (
    LightOnOcrConfig,
    LightOnOcrForConditionalGeneration,
    PixtralVisionConfig,
    Qwen3Config,
)

from v2drop_cli.prove.cases.case import Piece, noise, piece
from v2drop_cli.prove.cases.mistral3 import CASE as MISTRAL3
from v2drop_cli.prove.cases.mistral3 import IMAGE, MERGE, PATCH, PIXTRAL


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return LightOnOcrConfig(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=Qwen3Config(**text, head_dim=8),
        spatial_merge_size=MERGE,
        tie_word_embeddings=False,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 3 x 4, 4 x 3 or 2 x 5 tokens; a row of patches too many has no token."""
    rows, columns = [(3, 4), (4, 3), (2, 5)][seed % 3]
    height, width = (2 * rows + 1) * PATCH, 2 * columns * PATCH
    tensors = {
        "pixel_values": noise(1, 3, height, width, seed=seed),
        "image_sizes": torch.tensor([[height, width]]),
    }
    return piece([IMAGE] * (rows * columns), IMAGE, tensors)


CASE = dataclasses.replace(
    MISTRAL3,
    name="lighton_ocr",
    model=LightOnOcrForConditionalGeneration,
    config=config,
    image=image,
)
