"""GLM-4.1V at tiny size: M-RoPE on half of each head, frames under the id of images."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Glm4vConfig, Glm4vForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece
from v2drop_cli.prove.cases.qwen2_vl import PATCH

IMAGE, VIDEO, START, END, VIDEO_START, VIDEO_END = 3, 4, 5, 6, 7, 8
# Heads of 16, of which half is rotated: four frequencies.
HEADS: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
ROPE: dict[str, Any] = {
    "rope_type": "default",
    "mrope_section": [1, 1, 2],
    "partial_rotary_factor": 0.5,
    "rope_theta": 1e4,
}
VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "intermediate_size": 24,
    "num_heads": 2,
    "image_size": 32,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "image_start_token_id": START,
    "image_end_token_id": END,
    "video_start_token_id": VIDEO_START,
    "video_end_token_id": VIDEO_END,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, **HEADS, "rope_parameters": ROPE}
    return Glm4vConfig(vision_config=VISION, text_config=text, **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * 2 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int) -> Piece:
    """Two steps of 2 x 3 tokens or three of 3 x 2 under an image's id, a word after each."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    step = [START, *[IMAGE] * (h * w), END, FIRST_WORD + 1]
    return piece([VIDEO_START, *(step * t), VIDEO_END], IMAGE, tensors, kind=2)


CASE = Case(
    name="glm4v",
    model=Glm4vForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    mixed=False,
    types=True,
)
