"""Kimi K2.5 at tiny size: a DeepSeek-V3 decoder, whose cache holds latents."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DeepseekV3Config, Kimi_K25Config, Kimi_K25ForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, VIDEO, START, END = 3, 4, 5, 6
PATCH = 4
# Latents of 8, of which heads make keys of 4 + 4 and values of 8.
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
# The first layer has no experts; of four, a token goes to two.
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
VISION: dict[str, Any] = {
    "patch_size": PATCH,
    "pos_emb_height": 8,
    "pos_emb_width": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Kimi_K25Config(
        vision_config=VISION,
        text_config=DeepseekV3Config(**{**EXPERTS, **text, **LATENT}),
        projection_hidden_size=VISION["hidden_size"],
        tie_word_embeddings=False,
        **ids,
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
    name="kimi_k25",
    model=Kimi_K25ForConditionalGeneration,
    config=config,
    ids={
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_start_token_id": START,
        "vision_end_token_id": END,
    },
    image=image,
    smooth={"num_experts_per_tok": 4},
)
