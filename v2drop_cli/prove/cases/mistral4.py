"""Mistral Small 4 at tiny size: Mistral 3 around latent attention, scaled queries and experts."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Mistral3Config, Mistral4Config, PixtralVisionConfig

from v2drop_cli.prove.cases.ministral3 import scaling
from v2drop_cli.prove.cases.mistral3 import CASE as MISTRAL3
from v2drop_cli.prove.cases.mistral3 import MERGE, PIXTRAL

LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The first layer without experts; one shared expert and four others, two for a token."""
    experts: dict[str, Any] = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    }
    decoder = Mistral4Config(**{**experts, **text, **LATENT}, rope_parameters=scaling(text))
    return Mistral3Config(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=decoder,
        spatial_merge_size=MERGE,
        **ids,
    )


CASE = dataclasses.replace(
    MISTRAL3,
    name="mistral4",
    variant_of="mistral3",
    config=config,
    smooth={"num_experts_per_tok": 4},
)
