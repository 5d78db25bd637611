"""PaddleOCR-VL at tiny size: M-RoPE, pictures of any size, patches given as little pictures."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PaddleOCRVLConfig, PaddleOCRVLForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, START, END = 3, 5, 6
PATCH = 14  # as published: smaller ones would make many tokens of the smallest picture
DECODER: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 4 * PATCH,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return PaddleOCRVLConfig(
        vision_config=VISION, text_config={**text, **DECODER}, tie_word_embeddings=False, **ids
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3, PATCH, PATCH, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


CASE = Case(
    name="paddleocr_vl",
    model=PaddleOCRVLForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "vision_start_token_id": START, "vision_end_token_id": END},
    image=image,
    types=True,
)
