"""LLaVA-NeXT-Video at tiny size: LLaVA-NeXT, and videos of pooled frames."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Piece, noise, piece
from v2drop_cli.prove.cases.llava import CLIP, SIDE
from v2drop_cli.prove.cases.llava_next import CASE as LLAVA_NEXT
from v2drop_cli.prove.cases.llava_onevision import TILES

IMAGE, VIDEO = 3, 4


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_grid_pinpoints=TILES,
        **ids,
    )


def video(seed: int) -> Piece:
    """Three frames of 2 x 2 pooled tokens."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 4), VIDEO, frames, kind=2)


CASE = dataclasses.replace(
    LLAVA_NEXT,
    name="llava_next_video",
    model=LlavaNextVideoForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    video=video,
)
