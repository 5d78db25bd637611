"""Video-LLaVA at tiny size: images and videos through towers of their own."""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import CLIP, SIDE

IMAGE, VIDEO = 3, 4


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision, decoder = CLIPVisionConfig(**CLIP), LlamaConfig(**text)
    return VideoLlavaConfig(vision_config=vision, text_config=decoder, **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    return piece([IMAGE] * 16, IMAGE, {"pixel_values_images": noise(1, 3, SIDE, SIDE, seed=seed)})


def video(seed: int) -> Piece:
    """Three frames of 4 x 4 tokens, each after its class token."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 17), VIDEO, frames, kind=2)


CASE = Case(
    name="video_llava",
    model=VideoLlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
)
