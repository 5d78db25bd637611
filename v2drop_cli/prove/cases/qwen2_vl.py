"""Qwen2-VL at tiny size: M-RoPE, pictures of any size, video."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, VIDEO, START, END = 3, 4, 5, 6
ROPE: dict[str, Any] = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}
PATCH = 4


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision: dict[str, Any] = {
        "depth": 2,
        "embed_dim": 16,
        "hidden_size": 32,
        "num_heads": 2,
        "patch_size": PATCH,
        "initializer_range": 0.3,
    }
    return Qwen2VLConfig(vision_config=vision, text_config={**text, "rope_parameters": ROPE}, **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * 2 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int) -> Piece:
    """Two steps of 2 x 3 tokens, or three of 3 x 2."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    return piece([START, *[VIDEO] * (t * h * w), END], VIDEO, tensors, kind=2)


CASE = Case(
    name="qwen2_vl",
    model=Qwen2VLForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    types=True,
)
