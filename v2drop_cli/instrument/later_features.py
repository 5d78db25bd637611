"""Adding vision features between layers, where the decoder's own loop cannot after a drop.

The loop adds features at the whole prompt's columns. Up to the first drop that is right, and is
left to it; those of later layers are taken out of its hands, and the hook before such a layer adds
them to the columns still alive:

    prompt          t v v v v t       features of layers 0, 3 and 6: one a vision token, [4, D] each
    drop at 2       t v . . v t       layer 0 is left to the loop
    layers 3, 6     t v     v t       the hook adds the 1st and the 4th of theirs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from v2drop_cli.models.later import Later
from v2drop_cli.tensors import Columns, gather_rows


@dataclass(frozen=True, slots=True)
class LaterFeatures:
    """What the hooks of one forward add.

    Attributes:
        features: layer → ``[N, D]``.
        numbers: ``[B, Q]`` long, which of the N a column gets, counted from 1; 0 for none.
    """

    features: Mapping[int, Tensor]
    numbers: Tensor

    @classmethod
    def of(cls, later: Later) -> LaterFeatures:
        """All of ``later``."""
        where = later.where.flatten()
        numbers = (where.cumsum(0) * where).view(later.where.shape)
        return cls(later.features, numbers)

    def added(self, layer: int, hidden: Tensor, columns: Columns | None) -> Tensor:
        """``hidden [B, W, D]``, which enters ``layer``, with what belongs to its columns."""
        features = self.features.get(layer)
        if features is None:
            return hidden
        numbers = self.numbers.to(hidden.device)
        if columns is not None:
            numbers = gather_rows(numbers[..., None], columns.index)[..., 0]
        own = features.to(hidden.device, hidden.dtype)[(numbers - 1).clamp(min=0)]
        return hidden + own.masked_fill((numbers == 0)[..., None], 0)


def taken_over(
    later: Later | None, first_drop: int, kwargs: Mapping[str, Any]
) -> tuple[LaterFeatures, dict[str, Any]] | None:
    """What the hooks add after ``first_drop``, and the decoder's arguments without it.

    Args:
        later: what the decoder was to add; ``None`` for nothing.
        first_drop: the layer of the first drop. What enters it is whole when the loop adds.
        kwargs: the decoder's.
    """
    if later is None:
        return None
    mine = {layer: found for layer, found in later.features.items() if layer > first_drop}
    taken = LaterFeatures.of(replace(later, features=mine))
    return taken, {**kwargs, later.argument: later.handed_on(first_drop)}


def as_given(later: Later | None, embeddings: Tensor) -> Tensor:
    """``[B, Q, D]``: what the decoder was given; empty vision tokens with their first features."""
    if later is None or not later.alone or not later.features:
        return embeddings
    first = min(later.features)
    return LaterFeatures.of(later).added(first, embeddings, None)
