"""PaliGemma at tiny size: prompts that attend in both directions."""

from __future__ import annotations

from typing import Any

from transformers import (
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE = 3
SIDE = 16


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=4,
        vision_use_head=False,
    )
    return PaliGemmaConfig(
        vision_config=vision,
        text_config=GemmaConfig(**text, head_dim=8),
        projection_dim=text["hidden_size"],
        hidden_size=text["hidden_size"],
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    return piece([IMAGE] * 16, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="paligemma",
    model=PaliGemmaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    prefix=True,
)
