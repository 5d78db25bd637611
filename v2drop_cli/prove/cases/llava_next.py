"""LLaVA-NeXT at tiny size: tiles, newline tokens."""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Case
from v2drop_cli.prove.cases.llava import CLIP, IMAGE
from v2drop_cli.prove.cases.llava_onevision import TILES, image, pad_tiles


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return LlavaNextConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_grid_pinpoints=TILES,
        **ids,
    )


CASE = Case(
    name="llava_next",
    model=LlavaNextForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_tiles,
)
