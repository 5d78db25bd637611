"""The bookkeeping of one ``dropping`` context: what each layer's call becomes.

One forward of the model, worked through: a prompt of 10 columns, vision tokens in columns
2 to 7, schedule ``3:0.5,5:1t``.

    layers 0-2   10 columns   untouched
    layer 3       7 columns   columns [0 1 2 4 7 8 9]   alive vision tokens at [2 3 4] of them
    layer 4       7 columns   mask and rotary tables of these 7; its own cache is born with 7
    layer 5       5 columns   columns [0 1 4 8 9]       alive at [2]
    decoder out  10 columns   survivors put back in place, zeros where tokens were dropped
    next token    1 column    layers 3-4 attend to 7 + 1 columns, layer 5 on to 5 + 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import columns_before, refuse_static
from v2drop_cli.instrument.chunks import PictureWatch
from v2drop_cli.instrument.entry import leave_out, teller
from v2drop_cli.instrument.folding import folded, folded_call
from v2drop_cli.instrument.forward import (
    Forward,
    as_padding,
    compose,
    counted_after,
)
from v2drop_cli.instrument.here import Here, Reader
from v2drop_cli.instrument.later_features import as_given, taken_over
from v2drop_cli.instrument.numbering import carried, numbered_anew, positions_of
from v2drop_cli.instrument.remade import remade
from v2drop_cli.instrument.selection import Selection
from v2drop_cli.instrument.sharing import shared_call, whole_or_last
from v2drop_cli.instrument.signals import FROM_THE_CALL, RowSignals
from v2drop_cli.instrument.trace import DropEvent, DropTrace, Merge
from v2drop_cli.instrument.verdict import ask
from v2drop_cli.methods.base import (
    EMBEDDINGS,
    PREVIOUS_HIDDEN,
    RENUMBERED,
    TEXT,
    DropContext,
    Kept,
    Method,
)
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.tensors import gather_rows, pack, scatter_rows

# What a clock is told around the work that dropping adds: scoring, gathering, putting back.
DROP_BEGINS, DROP_ENDS = "drop begins", "drop ends"


class DropState:
    """State of one context. Layer hooks call :meth:`enter_layer`; nothing is kept on modules."""

    def __init__(
        self,
        schedule: Schedule,
        method: Method,
        reader: Reader,
        seed: int,
        mark: Callable[[str], None] | None = None,
    ) -> None:
        self.mark = mark or (lambda name: None)
        self.drops: dict[int, Drop] = {drop.layer: drop for drop in schedule.drops}
        # The layer before the first drop is compared with; those before it are not hooked.
        self.first_hooked = max(0, schedule.drops[0].layer - 1)
        self.method = method
        self.reader = reader
        self.call = reader.call
        self.seed = seed
        self.trace = DropTrace()
        self.book = reader.book
        self.forward: Forward | None = None
        self.encoded = False  # whether pixels were encoded that no call of the model had so far
        self.pictures = PictureWatch()

    def look(self, arguments: Mapping[str, Any]) -> None:
        """Keep the arguments of the running call of the model, if the method reads any."""
        if self.forward is not None and self.method.needs & FROM_THE_CALL:
            self.forward.arguments = arguments

    def look_at_input(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """The same for what the decoder is given; its arguments, where they must be others."""
        forward, later = self.forward, self.reader.family.later(arguments)
        if forward is None:
            return None
        given = arguments.get("inputs_embeds")
        if EMBEDDINGS in self.method.needs and given is not None:
            forward.embeddings = as_given(later, given)
        taken = taken_over(later, min(self.drops), arguments)
        if taken is None:
            return whole_or_last(self.call, arguments)
        forward.later, changed = taken
        return changed

    # One forward -----------------------------------------------------------------------------

    def begin(
        self,
        vision: tuple[Tensor, ...],
        attention_mask: Any,
        width: int,
        blocks: Tensor | None = None,
    ) -> None:
        """Start a forward over ``width`` new columns with droppable tokens at ``vision``."""
        padding = as_padding(attention_mask)
        lengths = (width,) * len(vision)
        if padding is not None and vision:
            lengths = tuple(padding[:, -width:].sum(dim=1).tolist())
        foreign = attention_mask is not None and padding is None
        self.forward = Forward(
            vision, padding, width, lengths, foreign_mask=foreign, blocks=blocks, alive=list(vision)
        )
        if TEXT in self.method.needs:
            self.forward.after = counted_after(self.forward)

    def abandon(self) -> None:
        """Forget a forward that ended, also one that raised: its tensors would live on."""
        self.forward = None

    def finish(self, hidden: Tensor) -> Tensor | None:
        """The decoder's output ``[B, W, D]`` back at full width; ``None`` if it already is."""
        forward, self.forward = self.forward, None
        if forward is None or forward.columns is None:
            return None
        if hidden.shape[1] < forward.columns.width:  # the last tokens alone, as the caller asked
            return None
        self.mark(DROP_BEGINS)
        full = scatter_rows(hidden, forward.columns.to(hidden.device), forward.width)
        self.mark(DROP_ENDS)
        return full

    # One layer -------------------------------------------------------------------------------

    def enter_layer(self, layer: int, hidden: Tensor, kwargs: dict[str, Any]) -> Any:
        """What ``layer`` gets instead, ``(hidden, kwargs)``; ``None`` leaves its call alone."""
        forward = self.forward
        if forward is None:
            return None
        forward.move(hidden.device)
        if not layer and forward.embeddings is None and EMBEDDINGS in self.method.needs:
            forward.embeddings = hidden  # of a decoder that was given ids, and merged pictures
        entering = hidden
        if forward.later is not None:
            entering = forward.later.added(layer, hidden, forward.columns)
        changed = self._enter(forward, layer, entering, kwargs)
        return (entering, kwargs) if changed is None and entering is not hidden else changed

    def _enter(self, forward: Forward, layer: int, hidden: Tensor, kwargs: dict[str, Any]) -> Any:
        drops = layer in self.drops and any(len(row) for row in forward.alive)
        if drops:
            self.call.check(kwargs)
            self.mark(DROP_BEGINS)
            hidden = self._drop(forward, self.drops[layer], hidden, kwargs)
        changed = self._arguments(forward, layer, hidden, kwargs)
        if forward.columns is not None:
            cache = self.call.cache(kwargs)
            if layer == teller(cache):
                left_out = forward.width - forward.columns.width
                leave_out(cache, left_out, asks=self.call.own_masks)
        if drops:
            self.mark(DROP_ENDS)
        return changed

    def _arguments(
        self, forward: Forward, layer: int, hidden: Tensor, kwargs: dict[str, Any]
    ) -> Any:
        """As :meth:`enter_layer`, once this layer has dropped what it drops."""
        cache = self.call.cache(kwargs)
        if layer in self.call.sources:
            return shared_call(self.call, forward, layer, hidden, kwargs)
        if PREVIOUS_HIDDEN in self.method.needs:
            forward.previous = hidden if layer + 1 in self.drops else None
            forward.handed_before = kwargs if layer + 1 in self.drops else {}
        before = columns_before(cache, layer, forward.width)
        folds = layer in self.call.no_columns
        known = (self.book.folded if folds else self.book.shortened)(cache, layer, before)
        forward.shift = None if known is None else known.shift_of(len(hidden))
        if forward.columns is None and known is None:
            return None
        if forward.foreign_mask:
            raise InstrumentError(
                "dropping needs the 2-D attention mask (1 for tokens, 0 for padding)",
                hint="pass the processor's attention_mask, and use the default dynamic cache",
            )
        if folds:
            self.book.remember(cache, layer, folded(forward, known, before))
            return folded_call(self.call, forward, hidden, kwargs, before)
        changed = remade(self.reader, forward, layer, hidden, kwargs, known)
        if layer in self.call.sources.values():
            forward.handed[layer] = changed
        return hidden, changed

    def _drop(self, forward: Forward, drop: Drop, hidden: Tensor, kwargs: dict[str, Any]) -> Tensor:
        before = [len(row) for row in forward.alive]
        counts = [drop.kept(n) for n in before]
        if counts == before and not self.method.chooses_count:
            return hidden
        cache = self.call.cache(kwargs)
        refuse_static(cache)
        found = self._select(forward, drop.layer, hidden, counts, kwargs)
        past = columns_before(cache, drop.layer, forward.width)
        whole = [len(row) for row in found.alive] == before
        if whole and found.hidden is None and not found.moved:
            # That its thresholds let all pass is what such a method found at this stage.
            if drop.layer and self.method.at(drop.layer).chooses_count:
                self._record(forward, drop.layer, found, past)
            return hidden
        self._record(forward, drop.layer, found, past)
        packed = pack(found.rows, left=self.call.fills_left)
        hidden = gather_rows(hidden if found.hidden is None else found.hidden, packed.index)
        forward.columns = compose(forward.columns, packed)
        forward.alive = found.alive
        forward.moved |= found.moved
        if packed.left and packed.valid is not None:
            forward.alive = [row + packed.start(b) for b, row in enumerate(found.alive)]
        forward.numbers = carried(forward.numbers, packed.index)
        if self.method.positions_at(drop.layer) == RENUMBERED:
            forward.numbers = numbered_anew(forward, positions_of(kwargs))
        forward.ready.clear()
        return hidden

    def _select(
        self,
        forward: Forward,
        layer: int,
        hidden: Tensor,
        counts: list[int],
        kwargs: dict[str, Any],
    ) -> Selection:
        """Ask the method, row by row."""
        found, cache = Selection(), self.call.cache(kwargs)
        for b, k in enumerate(counts):
            vision = forward.alive[b]
            here = Here(self.reader, forward, b, layer, kwargs, cache)
            keep = self._keep_index(here, hidden[b], k)
            stays = self._present(forward, hidden.shape[1], b)
            n_stay = self._lengths(forward)[b] - len(vision) + len(keep.index)
            found.add(keep, hidden, vision, stays, n_stay)
        return found

    def _keep_index(self, here: Here, hidden: Tensor, k: int) -> Kept:
        """Which of one row's alive vision tokens stay; ``hidden [W, D]`` are its columns."""
        forward, vision = here.forward, here.forward.alive[here.row]
        if not len(vision) or not self.method.chooses_count:
            if k == len(vision):
                return Kept(torch.arange(k, device=vision.device))
            if k == 0:
                return Kept(vision.new_zeros(0))
        previous = None if forward.previous is None else forward.previous[here.row]
        signals = RowSignals(hidden, previous, vision, here)
        ctx = DropContext(here.layer, k, here.original(vision), self.seed, signals)
        return ask(self.method, ctx, hidden)

    def _lengths(self, forward: Forward) -> tuple[int, ...]:
        return forward.lengths if forward.columns is None else forward.columns.lengths

    def _present(self, forward: Forward, width: int, b: int) -> Tensor:
        """``[W]`` bool: the alive columns of row ``b`` that are neither filler nor padding."""
        device = forward.alive[b].device
        if forward.columns is not None:
            if forward.columns.valid is not None:
                return forward.columns.valid[b].clone()
        elif forward.padding is not None:
            return forward.padding[b, -width:].to(device).clone()
        return torch.ones(width, dtype=torch.bool, device=device)

    def _original(self, forward: Forward, b: int, columns: Tensor) -> Tensor:
        """Alive columns of row ``b`` as columns of this forward's input."""
        return columns if forward.columns is None else forward.columns.index[b][columns]

    def _record(self, forward: Forward, layer: int, found: Selection, past: int) -> None:
        def positions(rows: list[Tensor]) -> list[Tensor]:
            return [self._original(forward, b, row) + past for b, row in enumerate(rows)]

        staying = [row[index] for row, index in zip(found.rows, found.alive, strict=True)]
        kept, before = tuple(positions(staying)), tuple(len(row) for row in forward.alive)
        merges: tuple[Merge | None, ...] = ()
        if any(row is not None for row in found.sources):
            pairs = zip(found.sources, positions(forward.alive), strict=True)
            merges = tuple(None if into is None else Merge(into, at) for into, at in pairs)
        self.trace.events.append(DropEvent(layer, before, tuple(map(len, kept)), kept, merges))
