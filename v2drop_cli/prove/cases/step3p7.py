"""Step 3.7 at tiny size: squares and the whole picture, windows, experts, heads by layer."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Step3p7Config, Step3p7ForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE = 3
SIDE, LOCAL = 24, 16  # 3 x 3 tokens of the whole picture, 2 x 2 of a square: 8 pixels a token
WINDOW = 10
KINDS = ("sliding_attention", "sliding_attention", "full_attention")
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 2,
    "mlp_ratio": 1.5,
    "max_position_embeddings": (SIDE // 2) ** 2,
    "initializer_range": 0.3,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "share_expert_dim": 16,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """One layer without experts before the others; twice the heads where there is a window."""
    layers = text["num_hidden_layers"]
    decoder = {
        **EXPERTS,
        **text,
        "head_dim": 8,
        "num_sliding_attention_heads": 2 * text["num_attention_heads"],
        "sliding_window": WINDOW,
        "layer_types": [KINDS[i % len(KINDS)] for i in range(layers)],
        "mlp_layer_types": ["dense", *["sparse"] * (layers - 1)],
    }
    return Step3p7Config(vision_config=VISION, text_config=decoder, **ids)


def image(seed: int) -> Piece:
    """Two squares and the whole picture, the whole alone, or four squares and the whole."""
    squares = [2, 0, 4][seed % 3]
    local = [FIRST_WORD, *[IMAGE] * 4, FIRST_WORD + 1] * squares
    tensors = {
        "pixel_values": noise(1, 3, SIDE, SIDE, seed=seed),
        "num_local_patches": torch.tensor([squares]),
    }
    if squares:
        tensors["pixel_values_local"] = noise(squares, 3, LOCAL, LOCAL, seed=seed)
    return piece([*local, FIRST_WORD, *[IMAGE] * 9, FIRST_WORD + 1], IMAGE, tensors)


CASE = Case(
    name="step3p7",
    model=Step3p7ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    smooth={"num_experts_per_tok": 4},
)
