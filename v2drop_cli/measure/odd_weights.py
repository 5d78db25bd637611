"""Weights of a layer that are no linear maps, and what one token does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def _streams(module: Any, weight: Tensor) -> int:
    """A map of all residual streams of a token, and the mixing of these with each other."""
    return weight.numel() + int(module.hc_mult) * weight.shape[1]


# By their own names, (module, weight) → multiply-adds of one token.
_KNOWN: dict[str, Callable[[Any, Tensor], int]] = {
    "fn": _streams,
    "index_kpool_compress_gate": lambda module, weight: weight.numel(),
    "index_kpool_compress_ape": lambda module, weight: 0,  # is added
}


def odd_products(module: Any, name: str, weight: Tensor) -> int | None:
    """Multiply-adds of one token with a weight of ``module``; ``None`` if it is not known here."""
    known = _KNOWN.get(name)
    return None if known is None else known(module, weight)


def rows_read(layer: Any, name: str) -> int | None:
    """Rows that a token reads of a table for ids in a row, if ``name`` is one; no products.

    Args:
        layer: the block that it is in.
        name: the table's in there.
    """
    above, _, own = name.rpartition(".")
    return int(layer.get_submodule(above).ngram_heads) if own == "ngram_embedding" else None
