"""Idefics2 at tiny size: four queries a picture, a window shorter than the prompt."""

from __future__ import annotations

from typing import Any

from transformers import Idefics2Config, Idefics2ForConditionalGeneration, MistralConfig

from v2drop_cli.prove.cases.case import PAD, Case, Piece, noise, piece
from v2drop_cli.prove.cases.idefics3 import join_rows

IMAGE, FAKE = 3, 5
SIDE, QUERIES = 16, 4
WINDOW = 8


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 4,
        "initializer_range": 0.3,
    }
    perceiver: dict[str, Any] = {
        "hidden_size": text["hidden_size"],
        "resampler_n_latents": QUERIES,
        "resampler_depth": 1,
        "resampler_n_heads": 2,
        "resampler_head_dim": 8,
        "num_key_value_heads": 1,
        "initializer_range": 0.3,
    }
    return Idefics2Config(
        vision_config=vision,
        perceiver_config=perceiver,
        text_config=MistralConfig(**text, sliding_window=WINDOW),
        **{**ids, "pad_token_id": PAD},
    )


def image(seed: int) -> Piece:
    """A picture alone, or its quarters before it."""
    squares = [5, 1][seed % 2]
    ids = [FAKE, *[*[IMAGE] * QUERIES, FAKE] * squares]
    return piece(ids, IMAGE, {"pixel_values": noise(1, squares, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="idefics2",
    model=Idefics2ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=join_rows,
    layers=lambda model: model.model.text_model.layers,
)
