"""Mistral Large 4 at tiny size: an index that chooses four columns, choices handed on, latents."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import (
    MistralLarge4Config,
    MistralLarge4ForConditionalGeneration,
    PixtralVisionConfig,
)

from v2drop_cli.prove.cases.mistral3 import CASE as MISTRAL3
from v2drop_cli.prove.cases.mistral3 import MERGE, PIXTRAL

CHOSEN = 4
# Of so many heads one says something of every column: equal scores would be no choice.
INDEX: dict[str, Any] = {"index_topk": CHOSEN, "index_head_dim": 8, "index_n_heads": 16}
# Those without an index come right behind a drop, and one of them behind another of its kind.
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 4,
    "indexer_types": ["full", "shared", "shared", "full"],
    "no_rope_layers": [1, 1, 0, 1],
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}


# The default is a stretching from 512 positions to a million, which no tiny model has.
ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 5000.0}


class Scaled(MistralLarge4ForConditionalGeneration):
    """Its queries are scaled: fresh weights leave that out."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for name, weight in self.named_parameters():
            if name.endswith("softmax_scaling.scale"):
                torch.nn.init.normal_(weight, std=0.3)


Scaled.__name__ = MistralLarge4ForConditionalGeneration.__name__  # as checkpoints name it


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Layer 2 has no rotary tables; the first is without experts."""
    decoder = {**EXPERTS, **INDEX, **text, **LAYERS, **LATENT, "rope_parameters": ROPE}
    return MistralLarge4Config(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=decoder,
        spatial_merge_size=MERGE,
        **ids,
    )


CASE = dataclasses.replace(
    MISTRAL3,
    name="mistral_large4",
    model=Scaled,
    config=config,
    drops=((1, 0.5), (2, 0.5), (3, 1)),
    entry=((0, 0.5), (2, 0.5)),
    smooth={"num_experts_per_tok": 4, "index_topk": 512},
)
