"""Aria at tiny size: a few queries a picture, four experts of which a token takes two."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AriaConfig, AriaForConditionalGeneration
from transformers.models.aria import AriaTextConfig

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE = 3
# The only sizes that its processor knows, and how many queries read each.
QUERIES = {490: 8, 980: 12}
PATCH = 70


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; a picture is 7 x 7 or 14 x 14 patches."""
    vision: dict[str, Any] = {
        "model_type": "idefics3_vision",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": max(QUERIES),
        "patch_size": PATCH,
        "initializer_range": 0.05,
    }
    experts = {"moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1}
    return AriaConfig(
        vision_config=vision,
        text_config=AriaTextConfig(**{**experts, **text}),
        projector_patch_to_query_dict={(side // PATCH) ** 2: n for side, n in QUERIES.items()},
        initializer_range=0.3,
        **ids,
    )


def image(seed: int) -> Piece:
    """Eight tokens of a picture that is whole, low or narrow; the rest is padding."""
    side = min(QUERIES)
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    high, wide = [(side, side), (210, side), (side, 350)][seed % 3]
    mask[:, :high, :wide] = True
    pixels = {"pixel_values": noise(1, 3, side, side, seed=seed), "pixel_mask": mask}
    return piece([IMAGE] * QUERIES[side], IMAGE, pixels)


CASE = Case(
    name="aria",
    model=AriaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    smooth={"moe_topk": 4},
)
