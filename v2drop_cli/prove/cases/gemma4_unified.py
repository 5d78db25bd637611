"""Gemma 4 without a vision tower, at tiny size: patches go straight into the decoder."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import (
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
    Gemma4UnifiedTextConfig,
    Gemma4UnifiedVisionConfig,
)

from v2drop_cli.prove.cases.case import Piece
from v2drop_cli.prove.cases.gemma4 import CASE as GEMMA4
from v2drop_cli.prove.cases.gemma4 import PATCH, POOLED, WINDOWS, layer_types, picture, steps

# Patches are pooled before: a token is one, of 16 at most in a picture and of 6 in a frame.
SIDE, PICTURE, FRAME = PATCH * POOLED, 16, 6


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision = Gemma4UnifiedVisionConfig(
        patch_size=PATCH,
        pooling_kernel_size=POOLED,
        mm_embed_dim=text["hidden_size"],
        mm_posemb_size=32,
        output_proj_dims=text["hidden_size"],
        initializer_range=0.3,
    )
    own = {"layer_types": layer_types("wwfwwf"), "use_bidirectional_attention": "vision"}
    return Gemma4UnifiedConfig(
        text_config=Gemma4UnifiedTextConfig(**{**text, **WINDOWS, **own}),
        vision_config=vision,
        audio_config=None,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    return picture((h, w), (h, w), PICTURE, SIDE, seed)


def video(seed: int) -> Piece:
    """Two frames of 2 x 3 tokens or three of 3 x 2."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    return steps(t, (h, w), (h, w), FRAME, SIDE, seed)


CASE = dataclasses.replace(
    GEMMA4,
    name="gemma4_unified",
    model=Gemma4UnifiedForConditionalGeneration,
    config=config,
    image=image,
    video=video,
    entry=None,
)
