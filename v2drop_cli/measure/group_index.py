"""Layers whose index scores groups of neighbouring columns: their work and memory.

A query that sees 9 columns in groups of 4 scores two groups, and attends to what is left anyway:

    scored   2 groups, a product with each head of the index's query
    held     one key of the index a column, beside the layer's own

Qwen4-Exp scores the groups that a query sees. GLM-5-Next scores all there are, weights what its
heads say, and holds of each column what it weighs in its group, and whether it is padding.
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
        seen: whether a query scores the groups that it sees alone, and not all.
    """

    products: int
    group: int
    held: int
    seen: bool = True

    def scoring(self, queries: int, columns: int) -> int:
        """Multiply-adds of the last ``queries`` of ``columns``; each sees those up to itself."""
        if not self.seen:
            return self.products * queries * (columns // self.group)
        seen = range(columns - queries + 1, columns + 1)
        return self.products * sum(count // self.group for count in seen)


def group_indexes(layers: Sequence[Any]) -> tuple[GroupIndex | None, ...]:
    """That of each layer, ``None`` where it has none; empty if no layer has one."""
    found = tuple(_group_index(getattr(layer, "self_attn", None)) for layer in layers)
    return found if any(found) else ()


def _group_index(attention: Any) -> GroupIndex | None:
    index = getattr(attention, "indexer", None)
    if index is None:
        return None
    if hasattr(index, "index_kpool"):
        heads, size = int(index.n_heads), int(index.head_dim)
        return GroupIndex(heads * (size + 1), int(index.index_kpool), 2 * size + 1, seen=False)
    group = getattr(index, "compress_ratio", None)
    if not isinstance(group, int):
        return None
    size = int(index.index_head_dim)
    return GroupIndex(int(index.index_n_heads) * size, group, int(index.index_kv_heads) * size)
