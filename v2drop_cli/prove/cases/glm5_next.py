"""GLM-5-Next at tiny size: an index chooses two pools of two columns; no layer has positions."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import Glm5NextConfig, Glm5NextForConditionalGeneration

from v2drop_cli.prove.cases.glm4v import CASE as GLM4V
from v2drop_cli.prove.cases.glm4v import VISION as GLM4V_VISION

CHOSEN, POOL = 4, 2
INDEX: dict[str, Any] = {
    "index_topk": CHOSEN,
    "index_kpool": POOL,
    "index_head_dim": 8,
    "index_n_heads": 16,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
LINEAR: dict[str, Any] = {"linear_head_dim": 8, "linear_num_heads": 2}
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "indexed_attention"] * 2,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "hc_mult": 2,
    "hc_sinkhorn_iters": 3,
    # What a state gives is small: a norm that divides by it would enlarge what is lost by rounding.
    "rms_norm_eps": 1e-2,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
VISION = {**GLM4V_VISION, "projection_intermediate_size": 24}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; its first layer is without experts."""
    decoder = {**EXPERTS, **INDEX, **text, **LATENT, **LINEAR, **LAYERS}
    return Glm5NextConfig(vision_config=VISION, text_config=decoder, **ids)


class Pooling(Glm5NextForConditionalGeneration):
    """Its pools are weighted by place and by what is in them: fresh weights do neither."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for name, weight in self.named_parameters():
            if "index_kpool_compress" in name:
                torch.nn.init.normal_(weight, std=0.3)


Pooling.__name__ = Glm5NextForConditionalGeneration.__name__  # as checkpoints name it


CASE = dataclasses.replace(
    GLM4V,
    name="glm5_next",
    model=Pooling,
    config=config,
    mixed=True,
    types=False,
    drops=((1, 0.5), (2, 0.5), (3, 1)),
    entry=((0, 0.5), (2, 0.5)),
    smooth={"num_experts_per_tok": 4, "index_topk": 512},
)
