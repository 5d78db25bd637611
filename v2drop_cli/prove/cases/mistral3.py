"""Mistral Small 3.1 at tiny size: a Pixtral tower whose patches are merged."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, Rows, Tensors, join, noise, piece

IMAGE, BREAK, END = 3, 4, 5
PATCH, MERGE = 4, 2
PIXTRAL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Mistral3Config(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=MistralConfig(**text, sliding_window=None),
        spatial_merge_size=MERGE,
        **ids,
    )


def sized(rows: int, columns: int, patch: int, seed: int) -> Piece:
    """Rows of placeholders, a break between them and an end after the last."""
    ids: list[int] = []
    for _ in range(rows):
        ids += [IMAGE] * columns + [BREAK]
    ids[-1] = END
    height, width = rows * patch, columns * patch
    tensors = {
        "pixel_values": noise(1, 3, height, width, seed=seed),
        "image_sizes": torch.tensor([[height, width]]),
    }
    return piece(ids, IMAGE, tensors)


def image(seed: int) -> Piece:
    """Pictures of 3 x 4, 4 x 3 or 2 x 5 merged tokens."""
    rows, columns = [(3, 4), (4, 3), (2, 5)][seed % 3]
    return sized(rows, columns, PATCH * MERGE, seed)


def pad_pixels(rows: Rows) -> Tensors:
    """All images of a batch as large as the largest, as processors give them."""
    pieces = [p for row in rows for p in row]
    height = max(p.tensors["pixel_values"].shape[-2] for p in pieces)
    width = max(p.tensors["pixel_values"].shape[-1] for p in pieces)
    for p in pieces:
        pixels = p.tensors["pixel_values"]
        fill = (0, width - pixels.shape[-1], 0, height - pixels.shape[-2])
        p.tensors["pixel_values"] = torch.nn.functional.pad(pixels, fill)
    return join(pieces)


CASE = Case(
    name="mistral3",
    model=Mistral3ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_pixels,
)
