"""The other half of the oracle: layers that fold tokens into a state, over the shortened sequence.

No mask takes a token out of a state, nor one out of a pool of neighbours, where layers without
positions make masks of their own. So each such layer is called by hand, for each row by itself:
on the hidden states of those tokens that are left, side by side and without any padding, and with
a state of its own that has seen no others. What comes out is put back where the tokens were, and
the dense forward goes on with it. Nothing is shared with what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import DynamicCache

# What a layer may be handed that has one entry for each token, and masks of padding.
PER_TOKEN, MASKS = ("ple_input_ids",), ("attention_mask", "conv_mask", "position_ids")


def _alone(handed: Mapping[str, Any], row: int, left: Sequence[int]) -> dict[str, Any]:
    """What a layer is handed for the columns ``left`` of one row, without padding or gaps."""
    alone = {**handed, **{name: None for name in MASKS if name in handed}}
    for name in PER_TOKEN:
        if handed.get(name) is not None:
            alone[name] = handed[name][row : row + 1, left]
    return alone


def pools(layer: nn.Module) -> bool:
    """Whether ``layer`` has an index that pools neighbours, and makes masks of its own of them."""
    return any(hasattr(module, "index_kpool") for module in layer.modules())


def folds(layer: nn.Module) -> bool:
    """Whether ``layer`` has a convolution, as all layers have that fold tokens into a state."""
    return any(isinstance(module, nn.Conv1d) for module in layer.modules())


@dataclass
class _Rows:
    """The rows of one cache of the model's, each with states of its own.

    Attributes:
        caches: per row, the states; ``None`` where nothing is to follow.
        seen: per layer, how many columns of the dense sequence it was given.
    """

    caches: list[Any]
    seen: dict[int, int] = field(default_factory=dict)


class Shortened:
    """Calls layers by hand, as long as a context of the oracle lives.

    Args:
        layers: the decoder's blocks.
        padding: ``[B, at least all columns]``, 1 for tokens.
        dropped: layer → per row, columns gone from that layer on.
        cache_name: what layers call their cache.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        padding: Tensor,
        dropped: Mapping[int, Sequence[set[int]]],
        cache_name: str,
    ) -> None:
        self._padding, self._dropped, self._cache_name = padding, dropped, cache_name
        modules = [module for layer in layers for module in layer.modules()]
        self._config: Any = next((m.config for m in modules if hasattr(m, "config")), None)
        self._pages: WeakKeyDictionary[Any, _Rows] = WeakKeyDictionary()

    def forward(self, index: int, layer: nn.Module) -> Callable[..., Any]:
        """What ``layer``, the one of that index, does instead."""
        forward: Any = layer.forward

        def by_hand(hidden: Tensor, **kwargs: Any) -> Any:
            rows = self._rows(kwargs.get(self._cache_name), len(hidden))
            past = rows.seen.get(index, 0)
            rows.seen[index] = past + hidden.shape[1]
            full, several = torch.zeros_like(hidden), False
            for b, cache in enumerate(rows.caches):
                left = self._left(index, b, past, hidden.shape[1])
                if left:
                    alone = _alone(kwargs, b, left) | {self._cache_name: cache}
                    if pools(layer):  # told that there is no padding, not that it is unknown
                        alone["attention_mask"] = torch.ones(1, len(left), dtype=torch.bool)
                    out = forward(hidden[b : b + 1, left], **alone)
                    several = isinstance(out, tuple)
                    full[b, left] = out[0][0] if several else out[0]
            return (full, None) if several else full

        return by_hand

    def _rows(self, cache: Any, batch: int) -> _Rows:
        if cache is None:
            return _Rows([None] * batch)
        if cache not in self._pages:
            own = [DynamicCache(config=self._config) for _ in range(batch)]
            self._pages[cache] = _Rows(own)
        return self._pages[cache]

    def _left(self, index: int, row: int, past: int, width: int) -> list[int]:
        """Columns of this forward that are neither padding nor gone at layer ``index``."""
        gone: set[int] = set()
        for layer, rows in self._dropped.items():
            gone |= rows[row] if layer <= index else set()
        real = self._padding[row].tolist()
        return [i for i in range(width) if real[past + i] and past + i not in gone]
