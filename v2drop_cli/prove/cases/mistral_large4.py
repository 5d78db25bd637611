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
# Layers without an index come right behind a drop, and behind another of their kind. Of so many
# heads one says something of every column: equal scores would be no choice.
INDEX: dict[str, Any] = {
    "index_topk": CHOSEN,
    "index_head_dim": 8,
    "index_n_heads": 16,
    "indexer_types": ["full", "shared", "full", "shared", "shared", "full"],
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


class Scaled(MistralLarge4ForConditionalGeneration):  # type: ignore[misc]
    """Its queries are scaled: fresh weights leave that out."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for name, weight in self.named_parameters():
            if name.endswith("softmax_scaling.scale"):
                torch.nn.init.normal_(weight, std=0.3)


Scaled.__name__ = MistralLarge4ForConditionalGeneration.__name__  # as checkpoints name it


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Layer 3 has no rotary tables; the first is without experts."""
    return MistralLarge4Config(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config={**EXPERTS, **INDEX, **text, **LATENT},
        spatial_merge_size=MERGE,
        **ids,
    )


CASE = dataclasses.replace(
    MISTRAL3,
    name="mistral_large4",
    model=Scaled,
    config=config,
    smooth={"num_experts_per_tok": 4, "index_topk": 512},
)
