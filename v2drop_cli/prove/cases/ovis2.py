"""Ovis2 at tiny size: tiles of four tokens, indicator tokens with features of their own."""

from __future__ import annotations

from typing import Any

from transformers import Ovis2Config, Ovis2ForConditionalGeneration, Qwen2Config

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import SIDE

IMAGE, START, WHOLE, COLUMN, LINE, END = range(3, 9)
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "hidden_stride": 2,
    "vocab_size": 32,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; the indicators' ids follow the placeholder's, as published."""
    first = ids["image_token_id"] + 1
    return Ovis2Config(
        vision_config=VISION,
        text_config=Qwen2Config(**text),
        visual_indicator_token_ids=list(range(first, first + 5)),
        vocab_size=text["vocab_size"],
        hidden_size=text["hidden_size"],
        tie_word_embeddings=False,
        **ids,
    )


def image(seed: int) -> Piece:
    """A thumbnail of 2 x 2 tokens; and two tiles side by side, none, or two rows of two."""
    tile = [IMAGE] * 4
    row = [*tile, COLUMN, *tile]
    tiles, squares = [(row, 3), ([], 1), ([*row, LINE, *row], 5)][seed % 3]
    pixels = {"pixel_values": noise(squares, 3, SIDE, SIDE, seed=seed)}
    return piece([START, *tile, WHOLE, *tiles, END], IMAGE, pixels)


CASE = Case(
    name="ovis2",
    model=Ovis2ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
