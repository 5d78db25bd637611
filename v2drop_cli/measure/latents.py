"""Latent attention (DeepSeek-V3): the cache holds compressed keys and values, expanded each time.

One layer of Kimi K2.5, whose latents have 512 numbers and 64 more for the position:

    held      512 + 64 numbers a column, for all heads together
    expanded  at every forward, all columns attended to: 512 → 64 heads of 128 + 128
    attended  64 heads, keys of 128 + 64 and values of 128

Layers of one decoder may have latents of different sizes, as those with and without a window in
dots3 Note. Layers with an index hold its keys beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Latents:
    """Sizes of the latent attention of one layer.

    Attributes:
        expanding: multiply-adds that make keys and values of one column.
        keys, values: numbers in a key, and in a value, of one head.
        held: numbers of one column in the cache, the index's among them.
        choosing: multiply-adds by which the index scores one column for one query.
    """

    expanding: int
    keys: int
    values: int
    held: int
    choosing: int = 0


def latents(layers: Sequence[Any]) -> tuple[Latents, ...]:
    """Those of each layer; empty if a layer has none, or is built some other way.

    Args:
        layers: a decoder's blocks.
    """
    found = [_latents(getattr(layer, "self_attn", None)) for layer in layers]
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(found) else ()


def _latents(attention: Any) -> Latents | None:
    """Of one layer's attention, which says its sizes itself; its maps must have just these."""
    compress = getattr(attention, "kv_a_proj_with_mqa", None)
    expand = getattr(attention, "kv_b_proj", None)
    if compress is None or expand is None:
        return None
    rank, rotated = attention.kv_lora_rank, attention.qk_rope_head_dim
    heads, plain, values = attention.num_heads, attention.qk_nope_head_dim, attention.v_head_dim
    if compress.out_features != rank + rotated:
        return None
    if (expand.in_features, expand.out_features) != (rank, heads * (plain + values)):
        return None
    index = getattr(attention, "indexer", None)
    size, asked = (0, 0)
    if index is not None and not hasattr(index, "index_kpool"):  # which scores groups of columns
        size, asked = index.head_dim, index.n_heads
    # A product with each head of the query, and their sum weighted by head.
    return Latents(
        expand.weight.numel(), plain + rotated, values, rank + rotated + size, asked * (size + 1)
    )
