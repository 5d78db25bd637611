"""Gemma 3 at tiny size: pictures that attend both ways, and windows shorter than a picture."""

from __future__ import annotations

from typing import Any

from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE, START, END = 3, 4, 5
SIDE, TOKENS = 32, 16
WINDOW = 12
# Two layers with a window, then one without.
KINDS = ("sliding_attention", "sliding_attention", "full_attention")


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    layers = text["num_hidden_layers"]
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=4,
        vision_use_head=False,
    )
    decoder = Gemma3TextConfig(
        **text,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=[KINDS[i % len(KINDS)] for i in range(layers)],
    )
    return Gemma3Config(
        vision_config=vision, text_config=decoder, mm_tokens_per_image=TOKENS, **ids
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens, each of 2 x 2 patches, between their marks and line breaks."""
    ids = [FIRST_WORD, START, *[IMAGE] * TOKENS, END, FIRST_WORD]
    return piece(ids, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="gemma3",
    model=Gemma3ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "boi_token_index": START, "eoi_token_index": END},
    image=image,
    two_way=True,
)
