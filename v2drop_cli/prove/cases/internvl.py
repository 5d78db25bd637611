"""InternVL at tiny size: a Qwen2 decoder, tiles of four tokens."""

from __future__ import annotations

from typing import Any

from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    Qwen2Config,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import SIDE

IMAGE, START, END = 5, 3, 4
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "layer_scale_init_value": 1.0,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return InternVLConfig(
        vision_config=InternVLVisionConfig(**VISION),
        text_config=Qwen2Config(**text),
        image_seq_length=4,
        tie_word_embeddings=False,
        **ids,
    )


def image(seed: int) -> Piece:
    """One square of 2 x 2 tokens, or two or four tiles of as many and the thumbnail."""
    squares = [3, 1, 5][seed % 3]
    pixels = {"pixel_values": noise(squares, 3, SIDE, SIDE, seed=seed)}
    return piece([START, *[IMAGE] * (4 * squares), END], IMAGE, pixels)


def video(seed: int) -> Piece:
    """Three frames of 2 x 2 tokens, a word before each."""
    pixels = {"pixel_values": noise(3, 3, SIDE, SIDE, seed=seed)}
    return piece([FIRST_WORD, START, *[IMAGE] * 4, END] * 3, IMAGE, pixels)


CASE = Case(
    name="internvl",
    model=InternVLForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    video=video,
)
