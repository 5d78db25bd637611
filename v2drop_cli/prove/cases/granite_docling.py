"""Granite Docling at tiny size: tiles between markers, the whole page, DeepStack."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import GraniteDoclingConfig, GraniteDoclingForConditionalGeneration

from v2drop_cli.prove.cases.case import PAD, Piece, Rows, Tensors, noise, piece
from v2drop_cli.prove.cases.idefics3 import CASE as IDEFICS3
from v2drop_cli.prove.cases.idefics3 import FAKE, GLOBAL, IMAGE, MARKERS, NEWLINE, SIDE, TOKENS
from v2drop_cli.prove.cases.idefics3 import join_rows as join_tiles

VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 2,  # 8 x 8 patches, shuffled to 2 x 2 tokens; on the fine path to 4 x 4
    "deepstack_visual_indexes": [0, 1],
    "initializer_range": 0.3,
}
# The published factors, but for the embeddings': twelve times would hide what layers do.
FACTORS: dict[str, Any] = {"embedding_multiplier": 2.0, "attention_multiplier": 0.35}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision = {**VISION, "out_hidden_size": text["hidden_size"]}
    return GraniteDoclingConfig(
        vision_config=vision,
        text_config={**text, **FACTORS},
        tie_word_embeddings=False,
        **{**ids, "pad_token_id": PAD},
    )


def image(seed: int) -> Piece:
    """Tiles, row by row, a line break after each row, and the whole page, if it was cut."""
    rows, columns = [(1, 2), (2, 1), (1, 1)][seed % 3]
    ids: list[int] = []
    for row in range(rows):
        for column in range(columns):
            ids += [FAKE, MARKERS[row, column], *[IMAGE] * TOKENS]
        ids.append(NEWLINE)
    cut = rows * columns > 1
    ids += [NEWLINE, FAKE, GLOBAL, *[IMAGE] * TOKENS, FAKE] if cut else []
    return piece(
        ids, IMAGE, {"pixel_values": noise(1, rows * columns + cut, 3, SIDE, SIDE, seed=seed)}
    )


def join_rows(rows: Rows) -> Tensors:
    """As Idefics3's; the mask says which tiles are real, not which pixels."""
    tensors = join_tiles(rows)
    real = tensors["pixel_values"].flatten(2).any(dim=2)
    return {**tensors, "pixel_attention_mask": torch.as_tensor(real, dtype=torch.bool)}


CASE = dataclasses.replace(
    IDEFICS3,
    name="granite_docling",
    model=GraniteDoclingForConditionalGeneration,
    config=config,
    image=image,
    join=join_rows,
    drops=((2, 0.5), (3, 0.5), (5, 1)),  # after DeepStack's two layers
    entry=None,
)
