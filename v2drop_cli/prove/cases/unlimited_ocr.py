"""Unlimited-OCR at tiny size: tiles, a page, separators; a window on the answer alone."""

from __future__ import annotations

from typing import Any

import torch
from transformers import UnlimitedOcrConfig, UnlimitedOcrForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, Rows, noise, piece
from v2drop_cli.prove.cases.deepseek_ocr2 import PATCH, with_experts
from v2drop_cli.prove.cases.deepseek_ocr2 import SAM as DEEPSEEK_SAM

IMAGE = 3
# Transformers 5.23 shows rows their padding once an answer is longer, so none is here.
WINDOW = 10
WHOLE, TILE = 12 * PATCH, 8 * PATCH  # 3 x 3 and 2 x 2 tokens
SAM: dict[str, Any] = {**DEEPSEEK_SAM, "num_hidden_layers": 1, "image_size": WHOLE}
ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 12,
    "patch_size": 4,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """DeepSeek-OCR 2's experts, and a window.

    As many heads of keys as of queries, as published: its eager attention knows nothing else.
    """
    decoder = {**with_experts(text), "sliding_window": WINDOW, "num_key_value_heads": 4}
    return UnlimitedOcrConfig(
        vision_config={"sam_config": SAM, "encoder_config": ENCODER},
        text_config=decoder,
        **ids,
    )


def image(seed: int) -> Piece:
    """A page of 3 rows of 3 tokens and a newline, and a separator; some with two tiles before."""
    tiles = 2 * int(seed % 3 == 1)
    columns, rows = [(1, 1), (2, 1)][tiles // 2]
    tensors = {
        "pixel_values": noise(1, 3, WHOLE, WHOLE, seed=seed),
        "num_local_patches": torch.tensor([tiles]),
        "patches_grid": torch.tensor([[columns, rows]]),
    }
    if tiles:
        tensors["pixel_values_local"] = noise(tiles, 3, TILE, TILE, seed=seed + 1)
    joined = rows * 2 * (columns * 2 + 1) if tiles else 0
    return piece([IMAGE] * (joined + 3 * 4 + 1), IMAGE, tensors)


def listed(rows: Rows) -> dict[str, Any]:
    """Counts and cuts of tiles are plain lists: the model takes them as nothing else."""
    pieces = [p for row in rows for p in row]
    names = dict.fromkeys(name for p in pieces for name in p.tensors)
    found: dict[str, Any] = {
        name: torch.cat([p.tensors[name] for p in pieces if name in p.tensors]) for name in names
    }
    return found | {name: found[name].tolist() for name in ("num_local_patches", "patches_grid")}


CASE = Case(
    name="unlimited_ocr",
    model=UnlimitedOcrForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=listed,
    smooth={"num_experts_per_tok": 4},
)
