"""Ministral 3 at tiny size: Mistral Small 3.1's tower around a decoder that scales its queries."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Ministral3Config, Mistral3Config, PixtralVisionConfig

from v2drop_cli.prove.cases.mistral3 import CASE as MISTRAL3
from v2drop_cli.prove.cases.mistral3 import MERGE, PIXTRAL

# Short of the first picture's end: queries are scaled by another factor every so many positions.
UNSCALED = 8


def scaling(text: dict[str, Any]) -> dict[str, Any]:
    """Rotary parameters as published, but for the sizes: a strong scaling that begins early."""
    return {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": text["max_position_embeddings"] / UNSCALED,
        "original_max_position_embeddings": UNSCALED,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.5,
    }


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    decoder = Ministral3Config(**text, head_dim=8, rope_parameters=scaling(text))
    return Mistral3Config(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=decoder,
        spatial_merge_size=MERGE,
        **ids,
    )


CASE = dataclasses.replace(MISTRAL3, name="ministral3", variant_of="mistral3", config=config)
