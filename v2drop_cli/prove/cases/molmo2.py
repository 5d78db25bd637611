"""Molmo 2 at tiny size: pictures that attend both ways, rotary tables of two kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from transformers import Molmo2Config, Molmo2ForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, Rows, Tensors, join, noise

IMAGE, START, END, ROW_END, LOW_START, FRAME_START, FRAME_END = 3, 4, 5, 6, 7, 8, 9
SIDE, PATCH = 16, 4
PATCHES = (SIDE // PATCH) ** 2  # of a crop
POOLED = 4  # patches of a token
ATTENTION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; the rotary tables of every other layer are stretched."""
    side = {"image_size": [SIDE, SIDE], "patch_size": PATCH, "num_hidden_layers": 2}
    layers = list(range(0, text["num_hidden_layers"], 2))
    rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    return Molmo2Config(
        vision_config={**ATTENTION, **side},
        adapter_config={
            **ATTENTION,
            "vision_feature_layer": [1, 0],
            "text_hidden_size": text["hidden_size"],
        },
        text_config={
            **text,
            "head_dim": 8,
            "additional_vocab_size": 4,
            "rope_parameters": rope,
            "rope_scaling_layers": layers,
        },
        **ids,
    )


def shown(ids: list[int], tensors: Mapping[str, torch.Tensor], kind: int) -> Piece:
    """Marks of pictures and frames belong to the block, words do not."""
    marks = [int(i < FIRST_WORD) for i in ids]
    return Piece(ids, [i == IMAGE for i in ids], kind, dict(tensors), marks)


def image(seed: int) -> Piece:
    """2 x 2 tokens of the whole picture, then 2 x 4, 4 x 2 or 2 x 2 of the next crops."""
    rows, columns = [(2, 4), (4, 2), (2, 2)][seed % 3]
    tokens = 4 + rows * columns
    pooling = torch.arange(tokens * POOLED).reshape(tokens, POOLED)
    pooling[-1, -1] = -1  # a window that hangs over the edge
    low = [LOW_START, *[IMAGE, IMAGE, ROW_END] * 2, END]
    high = [START, *[*[IMAGE] * columns, ROW_END] * rows, END]
    crops = tokens * POOLED // PATCHES
    tensors = {
        "pixel_values": noise(crops, PATCHES, 3 * PATCH**2, seed=seed),
        "image_token_pooling": pooling,
        "image_grids": torch.tensor([[2, 2, rows, columns]]),
        "image_num_crops": torch.tensor([crops]),
    }
    return shown(low + high, tensors, kind=1)


def video(seed: int) -> Piece:
    """Two frames of 2 x 2 tokens, or three, a word in place of each time."""
    frames = 2 + seed % 2
    tensors = {
        "pixel_values_videos": noise(frames, PATCHES, 3 * PATCH**2, seed=seed),
        "video_token_pooling": torch.arange(frames * PATCHES).reshape(-1, POOLED),
        "video_grids": torch.tensor([[frames, 2, 2]]),
    }
    return shown([FIRST_WORD, FRAME_START, *[IMAGE] * 4, FRAME_END] * frames, tensors, kind=2)


def join_rows(rows: Rows) -> Tensors:
    """Tokens pool patches by their numbers, which go on from picture to picture."""
    pieces, before = [], {"image": 0, "video": 0}
    for piece in (p for row in rows for p in row):
        kind, pixels = ("image", "pixel_values") if piece.kind == 1 else ("video", VIDEO_PIXELS)
        name = f"{kind}_token_pooling"
        pooling = piece.tensors[name]
        moved = torch.where(pooling < 0, pooling, pooling + before[kind])
        pieces.append(replace(piece, tensors={**piece.tensors, name: moved}))
        before[kind] += piece.tensors[pixels].shape[:2].numel()
    return join(pieces)


VIDEO_PIXELS = "pixel_values_videos"

CASE = Case(
    name="molmo2",
    model=Molmo2ForConditionalGeneration,
    config=config,
    ids={
        "image_token_id": IMAGE,
        "image_start_token_id": START,
        "image_end_token_id": END,
        "low_res_image_start_token_id": LOW_START,
        "frame_start_token_id": FRAME_START,
        "frame_end_token_id": FRAME_END,
    },
    image=image,
    video=video,
    mixed=False,
    join=join_rows,
    types=True,
)
