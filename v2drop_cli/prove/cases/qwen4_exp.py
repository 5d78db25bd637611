"""Qwen4-Exp at tiny size: an index that chooses two groups of two columns, and ids in a row."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Qwen4ExpConfig, Qwen4ExpForConditionalGeneration

from v2drop_cli.prove.cases.qwen3_5 import CASE as QWEN3_5
from v2drop_cli.prove.cases.qwen3_5 import LAYERS as QWEN3_5_LAYERS
from v2drop_cli.prove.cases.qwen3_5 import VISION

CHOSEN, GROUP = 4, 2
# Its index goes through the queries of a forward one by one, so there are few layers.
LAYERS: dict[str, Any] = {
    **QWEN3_5_LAYERS,
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "indexed_attention"] * 2,
}
INDEX: dict[str, Any] = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": CHOSEN,
    "indexer_compress_ratio": GROUP,
}
# Layers 0 and 2, of those counted from 0, add something for ids in a row; tables are small primes.
IN_A_ROW: dict[str, Any] = {
    "ple_layer_ids": [1, 3],
    "heads_per_ngram": 2,
    "ngram_vocab_size_base": 40,
    "make_ngram_vocab_size_divisible_by": 8,
    "split_ngram_parts": 1,
}
STREAMS: dict[str, Any] = {"hc_count": 2, "hc_lowrank": 8}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    decoder = {**EXPERTS, **INDEX, **text, **LAYERS, **IN_A_ROW, **STREAMS}
    return Qwen4ExpConfig(vision_config=VISION, text_config=decoder, **ids)


CASE = dataclasses.replace(
    QWEN3_5,
    name="qwen4_exp",
    model=Qwen4ExpForConditionalGeneration,
    config=config,
    drops=((1, 0.5), (2, 0.5), (3, 1)),
    entry=((0, 0.5), (2, 0.5)),
    smooth={"num_experts_per_tok": 4, "indexer_budget": 512},
)
