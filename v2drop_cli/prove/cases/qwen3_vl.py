"""Qwen3-VL at tiny size: interleaved M-RoPE, DeepStack, a time before each frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Piece, noise, piece
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import END, PATCH, START, VIDEO

ROPE: dict[str, Any] = {
    "rope_type": "default",
    "mrope_section": [2, 1, 1],
    "mrope_interleaved": True,
    "rope_theta": 1e4,
}


VISION: dict[str, Any] = {
    "depth": 4,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "intermediate_size": 24,
    "num_heads": 2,
    "patch_size": PATCH,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1, 2],
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, "head_dim": 8, "rope_parameters": ROPE}
    return Qwen3VLConfig(vision_config=VISION, text_config=text, **ids)


def video(seed: int) -> Piece:
    """Two steps of 2 x 3 tokens or three of 3 x 2, a word in place of each timestamp."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    step = [FIRST_WORD + 1, START, *[VIDEO] * (h * w), END]
    return piece([START, *(step * t), END], VIDEO, tensors, kind=2)


CASE = dataclasses.replace(
    QWEN2_VL,
    name="qwen3_vl",
    model=Qwen3VLForConditionalGeneration,
    config=config,
    video=video,
    drops=((3, 0.5), (4, 0.5), (5, 1)),  # after DeepStack's three layers
    entry=None,
)
