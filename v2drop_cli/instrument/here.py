"""Where a drop is: one layer of one batch row, and what its attention would be made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.instrument.attention import (
    Attended,
    beside_weights,
    past_keys,
    row_of,
    unturned,
)
from v2drop_cli.instrument.cache import (
    CacheBook,
    cached_length,
    columns_before,
    join_valid,
    places_held,
)
from v2drop_cli.instrument.encodings import Encodings
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.masks import View
from v2drop_cli.instrument.numbering import Numbering, alive_rope
from v2drop_cli.instrument.tower import TowerWatch
from v2drop_cli.models.base import Family
from v2drop_cli.models.projections import Rope
from v2drop_cli.tensors import true_columns


@dataclass(frozen=True, slots=True)
class Reader:
    """What stays the same for a whole context.

    Attributes:
        call: how the decoder calls its layers.
        needs: the signals that the method may ask for.
        family: how to talk to the model.
        config: the whole model's.
        layers: the decoder's blocks.
        tower: what the vision tower showed, for methods that need it.
        book: what is known of caches.
        encodings: what pictures were encoded from, for methods that look at grids.
        numbering: for a method that numbers survivors anew.
        final_norm: the decoder's norm before the head, ``None`` where nobody knows it.
    """

    call: LayerCall
    needs: frozenset[str]
    family: Family
    config: Any
    layers: Sequence[Any]
    tower: TowerWatch | None = None
    book: CacheBook = field(default_factory=CacheBook)
    encodings: Encodings = field(default_factory=Encodings)
    numbering: Numbering | None = None
    final_norm: Any = None

    def in_blocks(self, window: int | None) -> bool:
        """Whether a layer with this window has columns that attend in both directions, if any."""
        return window is not None or not self.family.blocks_in_windows


@dataclass(frozen=True, slots=True)
class Here:
    """One batch row at one drop.

    Attributes:
        reader: what it is read with.
        forward: the running forward.
        row: number of the batch row.
        layer: the drop layer.
        kwargs: what the decoder hands the layer.
        cache: the KV cache among them.
    """

    reader: Reader
    forward: Forward
    row: int
    layer: int
    kwargs: Mapping[str, Any]
    cache: Any

    def original(self, columns: Tensor) -> Tensor:
        """Alive columns of this row as columns of this forward's input."""
        found = self.forward.columns
        return columns if found is None else found.index[self.row][columns]

    def alive(self, positions: Tensor) -> Tensor:
        """The other way round: where ``positions``, which were never dropped, are now."""
        found = self.forward.columns
        if found is None:
            return positions
        first = found.start(self.row)
        columns = found.index[self.row, first : first + found.lengths[self.row]]
        places = columns.new_zeros(self.forward.width)
        places[columns] = torch.arange(len(columns), device=columns.device) + first
        return places[positions]

    def text(self) -> Tensor:
        """Positions of all that is no droppable vision token and no padding, ascending."""
        forward = self.forward
        vision = forward.vision[self.row]
        shape, device = (forward.width,), vision.device
        text = torch.ones(shape, dtype=torch.bool, device=device)
        if forward.padding is not None:
            text = forward.padding[self.row, -forward.width :].to(device).clone()
        text.index_fill_(0, vision, False)
        return true_columns(text, forward.lengths[self.row] - len(vision))

    def attended(self, layer: int, states: Tensor) -> Attended:
        """What the attention of ``layer`` is made from, whose input is ``states [W, D]``.

        On a model spread over devices all of it follows the layer's weights.
        """
        forward, b, module = self.forward, self.row, self.reader.layers[layer]
        states = beside_weights(module, states)
        past = cached_length(self.cache, layer)
        past -= len(states) if layer < self.layer and self.cache is not None else 0
        blocks = None
        if self.reader.in_blocks(self.reader.call.window(layer)):
            blocks = forward.alive_blocks()
        return Attended(
            module=module,
            states=states,
            rope=self._rope(layer, states),
            past=past_keys(self.cache, layer, b, past),
            valid=self._valid(layer, past, states),
            blocks=None if blocks is None else blocks[b].to(states.device),
            view=self._view(layer, past, states),
        )

    def _rope(self, layer: int, states: Tensor) -> Rope:
        """``[W, d]`` twice: the rotary tables that ``layer`` has for the row's alive columns."""
        shift = self.forward.shift
        if layer == self.layer:  # not entered yet, so what is known of it is of earlier turns
            known = self.reader.book.known(self.cache, layer)
            shift = None if known is None else known.shift_of(len(self.forward.vision))
        # Layers of another kind may have other tables.
        handed = (layer < self.layer and self.forward.handed_before) or self.kwargs
        if not self.reader.call.turns(handed):
            return unturned(self.reader.call.config, states)
        rope = alive_rope(self.reader.numbering, self.forward, states, handed, shift)
        cos, sin = (row_of(table, self.row).to(states.device) for table in rope)
        return cos, sin

    def _view(self, layer: int, past: int, states: Tensor) -> View | None:
        """What the sliding window of ``layer`` leaves in view, if it cuts anything."""
        call, forward = self.reader.call, self.forward
        size, before = call.window(layer), columns_before(self.cache, self.layer, forward.width)
        if size is None or before + forward.width <= size:
            return None
        held = places_held(self.reader.book.known(self.cache, layer), past)
        new = torch.arange(len(states), device=states.device)
        if forward.columns is not None:
            new = forward.columns.index[self.row].to(states.device)
        own = held[self.row if len(held) > 1 else 0].to(states.device)
        return View(size, torch.cat([own, new + before])[None], call.cuts_blocks)

    def _valid(self, layer: int, past: int, states: Tensor) -> Tensor | None:
        """``[past + W]`` bool: no padding and no filler, in the cache and here."""
        forward, b = self.forward, slice(self.row, self.row + 1)
        known = self.reader.book.known(self.cache, layer)
        if known is not None:
            before = None if known.valid is None else known.valid[b, :past]
        else:
            before = None if forward.padding is None else forward.padding[b, :past]
        if forward.columns is not None:
            new = None if forward.columns.valid is None else forward.columns.valid[b]
        else:
            new = None if forward.padding is None else forward.padding[b, -forward.width :]
        before, new = (x if x is None else x.to(states.device) for x in (before, new))
        joined = join_valid(before, past, new, states[None])
        return None if joined is None else joined[0]
