"""Pixtral at tiny size: a LLaVA with a tower for pictures of any size."""

from __future__ import annotations

from typing import Any

from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece
from v2drop_cli.prove.cases.mistral3 import (
    IMAGE,
    PATCH,
    PIXTRAL,
    pad_pixels,
    sized,
)


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return LlavaConfig(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=MistralConfig(**text, sliding_window=None),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 3 x 4, 4 x 3 or 2 x 5 tokens."""
    rows, columns = [(3, 4), (4, 3), (2, 5)][seed % 3]
    return sized(rows, columns, PATCH, seed)


CASE = Case(
    name="pixtral",
    variant_of="llava",
    model=LlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_pixels,
)
