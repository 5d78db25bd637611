"""PerceptionLM at tiny size: thumbnail and tiles, pooled, video; another tower than timm's.

The published tower is timm's, which is no part of transformers. Its place takes CLIP's, which also
has a class token that the model leaves out; the decoder is given the same either way.
"""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    PerceptionLMConfig,
    PerceptionLMForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import CLIP, SIDE

IMAGE, VIDEO = 3, 4
TOKENS = 4  # of a square: 4 x 4 patches, pooled to 2 x 2
# What a timm configuration says of its sizes.
TIMM: dict[str, Any] = {
    "architecture": "vit_tiny_patch4_16",
    "model_args": {"embed_dim": CLIP["hidden_size"], "img_size": [SIDE, SIDE]},
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return PerceptionLMConfig(
        vision_config=CLIPVisionConfig(**CLIP, **TIMM),
        text_config=LlamaConfig(**text),
        projector_pooling_ratio=2,
        **ids,
    )


def image(seed: int) -> Piece:
    """A thumbnail and two tiles: all images of a batch have the same number."""
    pixels = {"pixel_values": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([IMAGE] * (3 * TOKENS), IMAGE, pixels)


def video(seed: int) -> Piece:
    """Four frames."""
    pixels = {"pixel_values_videos": noise(1, 4, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (4 * TOKENS), VIDEO, pixels, kind=2)


CASE = Case(
    name="perception_lm",
    model=PerceptionLMForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
)
