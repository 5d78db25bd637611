"""A KV cache that is born with room for the answer and never moves.

transformers' dynamic cache makes new tensors at every token; its static cache has one length
for all layers and hands out all of it, masked. Here each layer makes its buffer in the
prefill, when it sees how many tokens survived down to it: theirs and the answer's. Each token
is written into its own column, and attention is handed the columns written so far, as a view.
So a layer reads what it holds and no more, lengths stay numbers on the host, and addresses
stay the same over any number of prompts of the same shape, as a recorded graph needs it.

transformers writes states of linear attention and convolutions in place already: such layers are
its own, emptied for the next prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, cache_utils
from transformers.cache_utils import DynamicLayer, LinearAttentionLayer

from v2drop_cli.errors import InstrumentError

# Of a layer that looks at one token at a time there is nothing to keep; 5.17 has no such kind.
_WITHOUT_COLUMNS = {LinearAttentionLayer, getattr(cache_utils, "DummyLayer", LinearAttentionLayer)}


class FixedLayer(DynamicLayer):
    """One layer's keys and values, ``[B, H, prompt + room, D]``.

    Args:
        room: columns beyond those of the first forward.
    """

    is_croppable = False

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self.buffers: tuple[Tensor, ...] = ()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns; return all columns written since :meth:`rewind`, as views.

        Raises:
            InstrumentError: there is no room for them.
        """
        # Not get_seq_length(): after a drop at layer 0 that also counts what is not held.
        past = 0 if self.keys is None or not self.buffers else self.keys.shape[-2]
        end = past + key_states.shape[2]
        if not self.buffers:
            self.lazy_initialization(key_states, value_states)
            self.buffers = (_roomy(key_states, self.room), _roomy(value_states, self.room))
        if end > self.buffers[0].shape[2] or len(key_states) != len(self.buffers[0]):
            raise InstrumentError(
                f"a fixed KV cache of {tuple(self.buffers[0].shape)} cannot take "
                f"{tuple(key_states.shape)} after {past} columns"
            )
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, past:end].copy_(new)
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        return self.keys, self.values

    def rewind(self) -> None:
        """Forget the columns, keep the memory."""
        if self.buffers:
            self.keys, self.values = (buffer[:, :, :0] for buffer in self.buffers)


class FixedCache(DynamicCache):
    """A :class:`FixedLayer` for every layer of a decoder that keeps columns.

    Args:
        config: the model's.
        room: tokens that decoding will add.

    Raises:
        InstrumentError: the decoder's cache has layers of other kinds.
    """

    def __init__(self, config: Any, room: int) -> None:
        super().__init__(config=config)
        kinds = {type(layer) for layer in self.layers} - {DynamicLayer, *_WITHOUT_COLUMNS}
        if kinds:
            other = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise InstrumentError(f"a fixed KV cache does not serve {other}")
        layers: list[Any] = [
            FixedLayer(room) if type(layer) is DynamicLayer else layer for layer in self.layers
        ]
        self.layers = layers
        self._fixed = [layer for layer in layers if isinstance(layer, FixedLayer)]
        self._states = [layer for layer in layers if not isinstance(layer, FixedLayer)]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Columns that each layer with columns holds."""
        return tuple(layer.get_seq_length() for layer in self._fixed)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, room included, and of all states."""
        buffers = [buffer for layer in self._fixed for buffer in layer.buffers]
        states = [state for layer in self._states for state in states_of(layer)]
        return sum(tensor.nbytes for tensor in (*buffers, *states))

    def rewind(self) -> None:
        """Empty the cache for the next prompt of the same shape; the memory stays."""
        for layer in self._fixed:
            layer.rewind()
        for layer in self._states:
            layer.reset()


def states_of(layer: Any) -> list[Tensor]:
    """The running states that one layer of a cache keeps, none for most kinds of layers."""
    kept = (getattr(layer, name, {}) for name in ("conv_states", "recurrent_states"))
    return [state for states in kept for state in states.values() if state is not None]


def _roomy(states: Tensor, room: int) -> Tensor:
    batch, heads, columns, size = states.shape
    return torch.empty(batch, heads, columns + room, size, dtype=states.dtype, device=states.device)
