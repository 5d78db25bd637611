"""Janus at tiny size: square pictures between two delimiters, and a part that would draw."""

from __future__ import annotations

from typing import Any

from transformers import JanusConfig, JanusForConditionalGeneration, LlamaConfig

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import SIDE

IMAGE, START, END = 5, 3, 4
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "num_image_tokens": 16,
    "initializer_range": 0.3,
}
DRAWING: dict[str, Any] = {
    "embed_dim": 4,
    "num_embeddings": 8,
    "latent_channels": 4,
    "base_channels": 32,  # its norms have 32 groups
    "channel_multiplier": [1, 1],
    "num_res_blocks": 1,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    width = text["hidden_size"]
    return JanusConfig(
        vision_config={**VISION, "projection_dim": width},
        vq_config={**DRAWING, "projection_dim": width, "image_token_embed_dim": width},
        text_config=LlamaConfig(**text),
        tie_word_embeddings=False,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    pixels = {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)}
    return piece([START, *[IMAGE] * 16, END], IMAGE, pixels)


CASE = Case(
    name="janus",
    model=JanusForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
