"""LFM3-VL at tiny size: convolutions, windows shorter than the prompt and full attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Lfm3Config, Lfm3VlConfig, Lfm3VlForConditionalGeneration

from v2drop_cli.prove.cases.qwen2_vl import PATCH
from v2drop_cli.prove.cases.qwen3_vl import CASE as QWEN3_VL

WINDOW = 8
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "patch_size": PATCH,
    "initializer_range": 0.3,
    "rope_parameters": {"rope_type": "axial", "rope_theta": 1e4},
}
# A convolution comes first, and on both sides of a window and of full attention.
KINDS = [
    *("conv", "sliding_attention", "full_attention"),
    *("conv", "sliding_attention", "full_attention"),
]


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Lfm3VlConfig(
        vision_config=VISION,
        text_config=Lfm3Config(
            **text,
            head_dim=8,
            sliding_window=WINDOW,
            layer_types=KINDS,
            norm_eps=0.1,  # of small numbers, which a smaller one would enlarge with their errors
            tie_word_embeddings=False,
        ),
        projector_hidden_size=24,
        tie_word_embeddings=False,
        **ids,
    )


CASE = dataclasses.replace(
    QWEN3_VL,
    name="lfm3_vl",
    model=Lfm3VlForConditionalGeneration,
    config=config,
    types=False,
    drops=((1, 0.5), (3, 0.5), (5, 1)),
    entry=((0, 0.5), (3, 0.5)),
)
