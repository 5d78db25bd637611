"""HunyuanVL at tiny size: four axes of positions, learned tokens around and between rows."""

from __future__ import annotations

from typing import Any

import torch
from transformers import HunYuanVLConfig, HunYuanVLForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, START, END = 3, 5, 6
PATCH = 16  # as published: smaller ones would make many tokens of the smallest picture
DECODER: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rope_parameters": {"rope_type": "default", "mrope_section": [2, 2, 2, 2], "rope_theta": 1e4},
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "max_image_size": 8 * PATCH,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return HunYuanVLConfig(
        vision_config=VISION, text_config={**text, **DECODER}, tie_word_embeddings=False, **ids
    )


def image(seed: int) -> Piece:
    """Pictures of 3 x 2, 2 x 4 or 3 x 3 tokens, one more after each row and one at each end."""
    h, w = [(3, 2), (2, 4), (3, 3)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * (w + 1) + 2), END], IMAGE, tensors)


CASE = Case(
    name="hunyuan_vl",
    model=HunYuanVLForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "im_start_id": START, "im_end_id": END},
    image=image,
    types=True,
    numbered=True,
)
