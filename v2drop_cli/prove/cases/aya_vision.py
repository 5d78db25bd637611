"""Aya Vision at tiny size: Command A Vision's decoder, a marker before each square."""

from __future__ import annotations

from typing import Any

from transformers import AyaVisionConfig, AyaVisionForConditionalGeneration, SiglipVisionConfig

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.cohere2_vision import SIDE, SQUARES, TOKENS, VISION, decoder

IMAGE, TILE, WHOLE, BEGIN, END = 3, 4, 5, 6, 7


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return AyaVisionConfig(
        vision_config=SiglipVisionConfig(**VISION), text_config=decoder(text), **ids
    )


def image(seed: int) -> Piece:
    """Squares of 2 x 2 tokens, a marker before each."""
    squares = SQUARES[seed % 3]
    square = [IMAGE] * TOKENS
    ids = [BEGIN, *[TILE, *square] * (squares - 1), WHOLE, *square, END]
    return piece(ids, IMAGE, {"pixel_values": noise(squares, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="aya_vision",
    model=AyaVisionForConditionalGeneration,
    config=config,
    ids={"image_token_index": IMAGE},
    image=image,
)
