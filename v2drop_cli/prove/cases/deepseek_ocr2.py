"""DeepSeek-OCR 2 at tiny size: as many queries as published, small pictures."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DeepseekOcr2Config, DeepseekOcr2ForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE = 3
PATCH = 4
WHOLE, TILE = 64 * PATCH, 48 * PATCH  # what 256 and 144 queries are for, as published
SAM: dict[str, Any] = {
    "hidden_size": 16,
    "output_channels": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": WHOLE,
    "patch_size": PATCH,
    "window_size": 4,
    "global_attn_indexes": [],
    "mlp_dim": 24,
    "downsample_channels": [8, 16],
    "initializer_range": 0.3,
}
ENCODER: dict[str, Any] = {
    "vocab_size": 8,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.05,
}


def with_experts(text: dict[str, Any]) -> dict[str, Any]:
    """The first layer without experts; one shared expert and four others, two for a token."""
    experts: dict[str, Any] = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "n_shared_experts": 1,
        "mlp_layer_types": ["dense"] + ["sparse"] * (text["num_hidden_layers"] - 1),
    }
    return {**experts, **text}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return DeepseekOcr2Config(
        vision_config={"sam_config": SAM, "encoder_config": ENCODER},
        text_config=with_experts(text),
        **ids,
    )


def image(seed: int) -> Piece:
    """A picture of 144 queries and a separator, and every third with a tile of as many before."""
    tiles = int(seed % 3 == 1)
    tensors = {
        "pixel_values": noise(1, 3, 12 * PATCH, 12 * PATCH, seed=seed),
        "num_local_patches": torch.tensor([tiles]),
    }
    if tiles:
        tensors["pixel_values_local"] = noise(1, 3, 8 * PATCH, 8 * PATCH, seed=seed + 1)
    return piece([IMAGE] * (144 * (1 + tiles) + 1), IMAGE, tensors)


CASE = Case(
    name="deepseek_ocr2",
    model=DeepseekOcr2ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    smooth={"num_experts_per_tok": 4},
)
