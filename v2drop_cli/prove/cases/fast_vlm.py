"""FastVLM at tiny size: a ResNet in FastViT's place, whose package may not be here."""

from __future__ import annotations

from typing import Any

from transformers import FastVlmConfig, FastVlmForConditionalGeneration, Qwen2Config, ResNetConfig

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE = 3
SIDE = 256  # four stages of stride 2 after a stem of stride 4: 64 pixels a token, as FastViT


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    tower: dict[str, Any] = {
        "embedding_size": 4,
        "hidden_sizes": [4, 4, 4, 4, 16],
        "depths": [1] * 5,
        "layer_type": "basic",
        "hidden_size": 16,
    }
    return FastVlmConfig(
        vision_config=ResNetConfig(**tower),
        text_config=Qwen2Config(**text),
        image_seq_length=16,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    return piece([IMAGE] * 16, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="fast_vlm",
    model=FastVlmForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
