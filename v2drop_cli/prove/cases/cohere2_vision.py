"""Command A Vision at tiny size: tiles of four tokens, windows shorter than the prompt."""

from __future__ import annotations

from typing import Any

from transformers import (
    Cohere2Config,
    Cohere2VisionConfig,
    Cohere2VisionForConditionalGeneration,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, BREAK, BEGIN, END = 3, 4, 5, 6
SIDE, TOKENS = 16, 4  # pixels along a square, and tokens of it
WINDOW = 8
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "vision_use_head": False,
}
SQUARES = [3, 1, 5]  # of pictures: two tiles and the whole, one, four tiles and the whole


def decoder(text: dict[str, Any]) -> Any:
    """The third layer and the last have no window, and no rotary tables."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention"] * 2
    return Cohere2Config(**text, sliding_window=WINDOW, layer_types=kinds, logit_scale=1.0)


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Cohere2VisionConfig(
        vision_config=SiglipVisionConfig(**VISION),
        text_config=decoder(text),
        alignment_intermediate_size=24,
        **ids,
    )


def image(seed: int) -> Piece:
    """Squares of 2 x 2 tokens, a break after each."""
    squares = SQUARES[seed % 3]
    pixels = {"pixel_values": noise(squares, 3, SIDE, SIDE, seed=seed)}
    return piece([BEGIN, *[*[IMAGE] * TOKENS, BREAK] * squares, END], IMAGE, pixels)


CASE = Case(
    name="cohere2_vision",
    model=Cohere2VisionForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
