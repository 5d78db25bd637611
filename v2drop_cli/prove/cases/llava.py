"""LLaVA-1.5 at tiny size: a CLIP tower and a Llama decoder."""

from __future__ import annotations

from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE = 3
SIDE = 16
CLIP: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "projection_dim": 16,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_seq_length=16,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    return piece([IMAGE] * 16, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="llava",
    model=LlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
