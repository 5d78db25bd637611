"""Sizes of layers that differ: Gemma 4's full layers have wider heads than those with a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def layer_sizes(layers: Sequence[Any], heads: int) -> tuple[tuple[int, int], ...]:
    """Per layer, heads of keys and values of its own, and the size of a head.

    Empty unless the layers are Gemma 4's, which say whether they have keys of their own: a layer
    that attends to those of an earlier one has none. Keys may be the values, too.

    Args:
        layers: a decoder's blocks.
        heads: of its queries.
    """
    found: list[tuple[int, int]] = []
    for layer in layers:
        attention = getattr(layer, "self_attn", None)
        shared = getattr(attention, "is_kv_shared_layer", None)
        if shared is None or attention is None:
            return ()
        size, key = int(attention.head_dim), getattr(attention, "k_proj", None)
        if attention.q_proj.out_features != heads * size or (key is None) != shared:
            return ()
        value = getattr(attention, "v_proj", None)
        if value is not None and key is not None and value.out_features != key.out_features:
            return ()
        found.append((0 if key is None else key.out_features // size, size))
    return tuple(found)


def layer_heads(layers: Sequence[Any]) -> tuple[int, ...]:
    """Per layer, its attention heads, where they differ: those of Step 3.7's windows are more."""
    attentions = [getattr(layer, "self_attn", None) for layer in layers]
    found = tuple(int(getattr(attention, "num_heads", 0)) for attention in attentions)
    return found if len(set(found)) > 1 and all(found) else ()


def stream_products(layer: Any) -> int:
    """Multiply-adds of a token in Gemma 3n's layers beside one for each weight; else 0.

    Each of a token's four states is predicted from all four, and the router of that runs twice.
    """
    router = getattr(getattr(layer, "altup", None), "modality_router", None)
    if router is None:
        return 0
    streams, size = router.weight.shape
    return int(streams**2 * size + router.weight.numel())
