"""Qwen2.5-VL at tiny size: Qwen2-VL with windows in the tower, and seconds in positions."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from v2drop_cli.prove.cases.case import Piece
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import PATCH, ROPE
from v2drop_cli.prove.cases.qwen2_vl import video as qwen2_video

VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "intermediate_size": 24,
    "num_heads": 2,
    "patch_size": PATCH,
    "window_size": 16,
    "fullatt_block_indexes": [1],
    "tokens_per_second": 4,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    text = {**text, "rope_parameters": ROPE}
    return Qwen2_5_VLConfig(vision_config=VISION, text_config=text, **ids)


def video(seed: int) -> Piece:
    """Qwen2-VL's, at two or three seconds a step."""
    piece = qwen2_video(seed)
    seconds = {"second_per_grid_ts": torch.tensor([2.0 + seed % 2])}
    return dataclasses.replace(piece, tensors=piece.tensors | seconds)


CASE = dataclasses.replace(
    QWEN2_VL,
    name="qwen2_5_vl",
    model=Qwen2_5_VLForConditionalGeneration,
    config=config,
    video=video,
)
