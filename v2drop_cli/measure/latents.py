"""Latent attention (DeepSeek-V3): the cache holds compressed keys and values, expanded each time.

One layer of Kimi K2.5, whose latents have 512 numbers and 64 more for the position:

    held      512 + 64 numbers a column, for all heads together
    expanded  at every forward, all columns attended to: 512 → 64 heads of 128 + 128
    attended  64 heads, keys of 128 + 64 and values of 128
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Latents:
    """Sizes of latent attention.

    Attributes:
        expanding: per layer, multiply-adds that make keys and values of one column.
        keys, values: numbers in a key, and in a value, of one head.
        held: numbers of one column in the cache.
    """

    expanding: tuple[int, ...]
    keys: int
    values: int
    held: int


def latents(layers: Sequence[Any], config: Any) -> Latents | None:
    """Those of a decoder, ``None`` if it has none; or if its layers are built some other way.

    Args:
        layers: its blocks.
        config: the text config of transformers.
    """
    rank, rotated = getattr(config, "kv_lora_rank", None), getattr(config, "qk_rope_head_dim", None)
    if not rank or not rotated:
        return None
    heads, plain, values = config.num_attention_heads, config.qk_nope_head_dim, config.v_head_dim
    expanding = []
    for layer in layers:
        attention = getattr(layer, "self_attn", None)
        compress = getattr(attention, "kv_a_proj_with_mqa", None)
        expand = getattr(attention, "kv_b_proj", None)
        if compress is None or expand is None or compress.out_features != rank + rotated:
            return None
        if (expand.in_features, expand.out_features) != (rank, heads * (plain + values)):
            return None
        expanding.append(expand.weight.numel())
    return Latents(tuple(expanding), plain + rotated, values, rank + rotated)
