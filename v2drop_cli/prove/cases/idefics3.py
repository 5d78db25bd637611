"""Idefics3 at tiny size: tiles between markers, and the whole picture."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3VisionConfig,
    LlamaConfig,
)

from v2drop_cli.prove.cases.case import PAD, Case, Piece, Rows, Tensors, noise, piece

IMAGE, FAKE, GLOBAL, NEWLINE = 3, 5, 8, 9
MARKERS = {(0, 0): 6, (0, 1): 7, (1, 0): 4}  # <row_1_col_1> and so on
SIDE, TOKENS = 16, 4  # 4 x 4 patches of 4 pixels, shuffled to 2 x 2 tokens
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Idefics3Config(
        vision_config=Idefics3VisionConfig(**VISION),
        text_config=LlamaConfig(**text),
        scale_factor=2,
        **{**ids, "pad_token_id": PAD},
    )


def whole() -> list[int]:
    """The ids of a whole picture."""
    return [FAKE, GLOBAL, *[IMAGE] * TOKENS, FAKE]


def image(seed: int) -> Piece:
    """Tiles, row by row, a line break after each row, and the whole picture."""
    rows, columns = [(1, 2), (2, 1), (0, 0)][seed % 3]
    ids: list[int] = []
    for row in range(rows):
        for column in range(columns):
            ids += [FAKE, MARKERS[row, column], *[IMAGE] * TOKENS]
        ids.append(NEWLINE)
    ids += [NEWLINE] * bool(rows) + whole()
    pixels = noise(1, rows * columns + 1, 3, SIDE, SIDE, seed=seed)
    return piece(ids, IMAGE, {"pixel_values": pixels})


def join_rows(rows: Rows) -> Tensors:
    """A row's tiles beside each other, filled up with empty ones, as processors give them."""
    empty = torch.zeros(1, 0, 3, SIDE, SIDE)
    tiles = [torch.cat([empty, *(p.tensors["pixel_values"] for p in row)], 1) for row in rows]
    most = max(t.shape[1] for t in tiles)
    fills = [(0, 0, 0, 0, 0, 0, 0, most - t.shape[1]) for t in tiles]
    filled = [torch.nn.functional.pad(t, f) for t, f in zip(tiles, fills, strict=True)]
    pixels = torch.cat(filled)
    return {"pixel_values": pixels, "pixel_attention_mask": pixels.any(dim=2).long()}


CASE = Case(
    name="idefics3",
    model=Idefics3ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=join_rows,
    layers=lambda model: model.model.text_model.layers,
)
