"""Lazy signals: what a method may look at, gathered only when it looks.

Nothing here runs for a method that needs hidden states alone, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
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
from v2drop_cli.instrument.tower_row import TowerRow
from v2drop_cli.methods.base import (
    ATTENTION,
    EMBEDDINGS,
    GRIDS,
    HIDDEN,
    KEYS,
    NORMED,
    PREVIOUS_HIDDEN,
    QUESTION,
    TEXT,
    TOWER,
    TowerLayer,
)
from v2drop_cli.models.base import Family
from v2drop_cli.models.projections import Rope
from v2drop_cli.records import Grid
from v2drop_cli.tensors import true_columns

# Signals that read the arguments of the model's call.
FROM_THE_CALL = frozenset({QUESTION, GRIDS, TOWER})


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


@dataclass(frozen=True, slots=True)
class RowSignals:
    """What a method may look at of one batch row's alive vision tokens.

    The class of :class:`~v2drop_cli.methods.signal_protocols.Signals`.

    Attributes:
        entering: ``[W, D]`` this row's hidden states entering the drop layer.
        entered_before: ``[W, D]`` the ones that entered the layer before, or ``None`` if no
            method asked for them.
        vision: ``[n]`` long, columns of the alive vision tokens.
        here: where this is, for all signals but hidden states.
    """

    entering: Tensor
    entered_before: Tensor | None
    vision: Tensor
    here: Here | None = None

    def hidden(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` hidden states entering the drop layer.

        Of the alive vision tokens; or of the text at positions ``rows``, as :meth:`text` gives.
        """
        return self.entering[self._columns(rows, HIDDEN)]

    def normed(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` the same states after the decoder's last norm."""
        reader = self._here(NORMED).reader
        if reader.final_norm is None:
            raise UnsupportedModelError(
                f"nobody has shown which norm of {reader.family.name} is the last one",
                hint="take a method that needs no normed states",
            )
        normed: Tensor = reader.final_norm(self.hidden(rows))
        return normed.to(self.entering.device)

    def previous_hidden(self) -> Tensor:
        """``[n, D]`` hidden states that entered the layer before."""
        # On a model spread over devices, the layer before may have run elsewhere.
        before = self._before()
        return before[self.vision.to(before.device)].to(self.entering.device)

    def measured(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``[n]``: ``measure(hidden, previous_hidden)`` of all columns, then the tokens' own."""
        return measure(self.entering, self._before().to(self.entering.device))[self.vision]

    def embeddings(self) -> Tensor:
        """``[Q, D]`` what the decoder was given, of all columns of this forward."""
        here = self._here(EMBEDDINGS)
        found = here.forward.embeddings
        if found is None:
            raise InstrumentError("this model hands its decoder no inputs_embeds by keyword")
        return found[here.row].to(self.entering.device)

    def text(self) -> Tensor:
        """``[m]`` long: positions of this forward's text, ascending."""
        return self._here(TEXT).text()

    def text_after(self) -> Tensor:
        """``[m]`` long: positions of the text after the last picture."""
        here = self._here(TEXT)
        text = here.text()
        return text[len(text) - here.forward.after[here.row] :]

    def input_ids(self) -> Tensor:
        """``[Q]`` long: the ids of this forward; ``text`` says which are no vision tokens."""
        here = self._here(QUESTION)
        ids: Tensor = here.forward.arguments["input_ids"][here.row]
        return ids.to(self.entering.device)

    def grids(self) -> tuple[Grid, ...] | None:
        """How this row's vision tokens lie over the pixels; ``None`` where that is not known."""
        here = self._here(GRIDS)
        reader, arguments = here.reader, here.forward.arguments
        return reader.encodings.grids(reader.family, reader.config, arguments, here.row)

    def order(self) -> Tensor:
        """``[n]`` long: which of this row's vision tokens the alive ones are, for the grids."""
        here = self._here(GRIDS)
        return torch.searchsorted(here.forward.vision[here.row], here.original(self.vision))

    def keys(self, layer: int, rows: Tensor | None = None) -> Tensor:
        """``[G, n, d]`` keys in the drop layer or the one before, rotated.

        Of the alive vision tokens; or of the text at positions ``rows``.
        """
        here, states = self._at(KEYS, layer)
        found = here.attended(layer, states).keys(here.reader.family.projections)
        return found.to(self.entering.device)[:, self._columns(rows, KEYS)]

    def attention(self, rows: Tensor, layer: int) -> Tensor:
        """``[H, r, n]``: how much ``rows`` attend to the alive tokens, in float32.

        Args:
            rows: ``[r]`` long, positions of text, as in :meth:`text`.
            layer: the drop layer, or the one before.
        """
        here, states = self._at(ATTENTION, layer)
        attended = here.attended(layer, states)
        columns = here.alive(rows).to(attended.states.device)
        found = attended.rows(here.reader.family.projections, columns)
        return found.to(self.entering.device)[..., self.vision]

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` gave the first time in this forward that the row was asked for ``name``."""
        if self.here is None:
            return make()
        notes, key = self.here.forward.notes, (self.here.row, name)
        if key not in notes:
            notes[key] = make()
        return notes[key].to(self.entering.device)

    def tower(self, layer: TowerLayer) -> TowerRow:
        """What ``layer`` of the vision tower knows of the alive tokens' patches."""
        here = self._here(TOWER)
        watch, config = here.reader.tower, here.reader.config
        mask = here.reader.family.vision_mask(config, here.forward.arguments)
        assert watch is not None
        assert mask is not None
        own = mask[here.row].nonzero()[:, 0]
        order = torch.searchsorted(own, here.original(self.vision).to(own.device))
        found = watch.row(layer, mask, here.row, order, here.forward.arguments)
        # On a model spread over devices, the tower may have run elsewhere.
        return replace(found, device=self.entering.device)

    def _at(self, need: str, layer: int) -> tuple[Here, Tensor]:
        """The input of ``layer``, if that is at hand."""
        here = self._here(need)
        why = here.reader.family.projections.refusal(here.reader.config)
        if why is not None:
            raise UnsupportedModelError(
                f"no {need} of {here.reader.family.name}: {why}",
                hint="use a method that looks at hidden states alone, such as v2drop",
            )
        here.reader.call.refuse_no_columns(layer, need)
        if layer == here.layer:
            return here, self.entering
        if layer == here.layer - 1:
            return here, self._before()
        raise InstrumentError(
            f"a drop at layer {here.layer} has no {need} of layer {layer}",
            hint=f"ask for layer {here.layer}, or for the one before it",
        )

    def _columns(self, rows: Tensor | None, need: str) -> Tensor:
        """Alive columns of the alive vision tokens, or of the text at positions ``rows``."""
        return self.vision if rows is None else self._here(need).alive(rows)

    def _here(self, need: str) -> Here:
        if self.here is None or need not in self.here.reader.needs:
            raise InstrumentError(f"{need} was not prepared: add it to Method.needs")
        return self.here

    def _before(self) -> Tensor:
        if self.entered_before is None:
            raise InstrumentError(f"{PREVIOUS_HIDDEN} was not recorded: add it to Method.needs")
        return self.entered_before
