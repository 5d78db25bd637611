"""Cosmos3 Edge at tiny size: a SigLIP 2 tower, interleaved M-RoPE, a time before each frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import Cosmos3EdgeConfig, Cosmos3EdgeForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Piece, noise, piece
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import END, IMAGE, PATCH, START, VIDEO

ROPE: dict[str, Any] = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "num_patches": 16,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, "head_dim": 8, "rope_parameters": ROPE}
    return Cosmos3EdgeConfig(
        vision_config=VISION, text_config=text, projector_hidden_size=24, **ids
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int) -> Piece:
    """Two frames of 2 x 3 tokens or three of 3 x 2, a word in place of each time."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    frame = [FIRST_WORD + 1, START, *[VIDEO] * (h * w), END]
    return piece(frame * t, VIDEO, tensors, kind=2)


CASE = dataclasses.replace(
    QWEN2_VL,
    name="cosmos3_edge",
    model=Cosmos3EdgeForConditionalGeneration,
    config=config,
    image=image,
    video=video,
)
