"""Gemma 3n at tiny size: four states a token, windows, layers that share keys.

Its tower is timm's, which is no part of transformers. A ResNet takes its place: a map of features,
too, in front of the same projector.
"""

from __future__ import annotations

from typing import Any

from transformers import (
    Gemma3nAudioConfig,
    Gemma3nConfig,
    Gemma3nForConditionalGeneration,
    Gemma3nTextConfig,
    ResNetConfig,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE, START, END, AUDIO = 3, 4, 5, 6
SIDE, TOKENS = 32, 16  # a stem of stride 4 and a stage of stride 2: 8 pixels a token
WINDOW = 12
# Layers 4 and 5 attend to the keys of layers 2, which has a window, and 3.
KINDS = ("sliding_attention", "full_attention")
SHARING = 2
AFTER: dict[str, Any] = {"vocab_size": 2, "rms_norm_eps": 1e-6}  # ids behind the words, unused


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    layers, words = text["num_hidden_layers"], text["vocab_size"]
    vision: dict[str, Any] = {
        "embedding_size": 4,
        "hidden_sizes": [4, 16],
        "depths": [1, 1],
        "layer_type": "basic",
        "hidden_size": 16,
        "image_size": SIDE,
        "vocab_offset": words,
    }
    audio: dict[str, Any] = {
        "hidden_size": 8,
        "conf_num_attention_heads": 2,
        "conf_num_hidden_layers": 1,
        "vocab_offset": words + 2,
    }
    decoder = Gemma3nTextConfig(
        **text,
        head_dim=8,
        sliding_window=WINDOW,
        layer_types=[KINDS[i % len(KINDS)] for i in range(layers)],
        num_kv_shared_layers=SHARING,
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=words,
        laurel_rank=4,
        activation_sparsity_pattern=[0.5] + [0.0] * (layers - 1),
    )
    whole = Gemma3nConfig(
        audio_config=Gemma3nAudioConfig(**audio, **AFTER),
        text_config=decoder,
        vision_soft_tokens_per_image=TOKENS,
        **ids,
    )
    object.__setattr__(whole, "vision_config", ResNetConfig(**vision, **AFTER))
    return whole


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens, between their marks and line breaks."""
    ids = [FIRST_WORD, START, *[IMAGE] * TOKENS, END, FIRST_WORD]
    return piece(ids, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="gemma3n",
    model=Gemma3nForConditionalGeneration,
    config=config,
    ids={
        "image_token_id": IMAGE,
        "boi_token_id": START,
        "eoi_token_id": END,
        "audio_token_id": AUDIO,
    },
    image=image,
    drops=((1, 0.5), (2, 0.5)),
    entry=((0, 0.5), (2, 0.5)),
)
