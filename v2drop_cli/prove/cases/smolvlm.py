"""SmolVLM2 at tiny size: as Idefics3, and video."""

from __future__ import annotations

from typing import Any

from transformers import (
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMVisionConfig,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, PAD, Case, Piece, noise, piece
from v2drop_cli.prove.cases.idefics3 import (
    IMAGE,
    SIDE,
    VISION,
    image,
    join_rows,
    whole,
)


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return SmolVLMConfig(
        vision_config=SmolVLMVisionConfig(**VISION),
        text_config=LlamaConfig(**text),
        scale_factor=2,
        **{**ids, "pad_token_id": PAD},
    )


def video(seed: int) -> Piece:
    """Three frames, each a whole picture after a word for its time."""
    ids = [i for frame in range(3) for i in [FIRST_WORD + frame, *whole()]]
    return piece(ids, IMAGE, {"pixel_values": noise(1, 3, 3, SIDE, SIDE, seed=seed)}, kind=2)


CASE = Case(
    name="smolvlm",
    model=SmolVLMForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    video=video,
    join=join_rows,
    mixed=False,
    layers=lambda model: model.model.text_model.layers,
)
