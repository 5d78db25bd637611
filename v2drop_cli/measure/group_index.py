"""Layers whose index scores groups of neighbouring columns, as Qwen4-Exp's: work and memory.

A query that sees 9 columns in groups of 4 scores two groups, and attends to what is left anyway:

    scored   2 groups, a product with each head of the index's query
    held     one key of the index a column, beside the layer's own
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GroupIndex:
    """The index of one layer.

    Attributes:
        products: multiply-adds by which one query scores one group.
        group: columns of a group.
        held: numbers that one column has in the index's own cache.
    """

    products: int
    group: int
    held: int

    def scoring(self, queries: int, columns: int) -> int:
        """Multiply-adds of the last ``queries`` of ``columns``; each sees those up to itself."""
        seen = range(columns - queries + 1, columns + 1)
        return self.products * sum(count // self.group for count in seen)


def group_indexes(layers: Sequence[Any]) -> tuple[GroupIndex | None, ...]:
    """That of each layer, ``None`` where it has none; empty if no layer has one."""
    found = tuple(_group_index(getattr(layer, "self_attn", None)) for layer in layers)
    return found if any(found) else ()


def _group_index(attention: Any) -> GroupIndex | None:
    index = getattr(attention, "indexer", None)
    group = getattr(index, "compress_ratio", None)
    if index is None or not isinstance(group, int):
        return None
    size = int(index.index_head_dim)
    return GroupIndex(int(index.index_n_heads) * size, group, int(index.index_kv_heads) * size)
