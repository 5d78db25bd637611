"""What a layer is handed whose columns or cache differ from what the decoder assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.answer_windows import in_view, take, view_of
from v2drop_cli.instrument.cache import (
    CachedColumns,
    cached_length,
    columns_before,
    join_valid,
    other_rows,
    places_held,
)
from v2drop_cli.instrument.forward import Forward, text_after
from v2drop_cli.instrument.handed_choice import Counted, handed_on
from v2drop_cli.instrument.here import Reader
from v2drop_cli.instrument.layer_call import as_handed, rotary_tables
from v2drop_cli.instrument.masks import View, causal_mask
from v2drop_cli.instrument.numbering import alive_rope, shift_after, told_positions
from v2drop_cli.instrument.windows import count_by_place, shown_columns
from v2drop_cli.tensors import gather_rope


@dataclass(frozen=True, slots=True)
class _Held:
    """What the cache of the entered layer holds.

    Attributes:
        past: columns, those counted that a sliding cache threw away.
        shown: how many of them the attention is handed, the last ones behind `kept`.
        kept: how many of the first ones it is handed in any case.
        before: columns of the whole sequence before this forward.
        valid: ``[B, past]`` bool, or ``None`` when none is padding or filler.
        places: ``[B or 1, past]`` long, which columns of the sequence they are; where a
            window or the layer itself counts them.
        window: how many columns of the sequence the layer has in view; ``None``: all.
    """

    past: int
    shown: int
    before: int
    valid: Tensor | None
    places: Tensor | None
    window: int | None
    kept: int = 0

    def handed(self, columns: Tensor) -> Tensor:
        """Of ``columns [B, past + W]``, those that the attention is handed."""
        thrown = self.past - self.shown
        return in_view(columns, self.kept, thrown) if thrown else columns


def remade(
    reader: Reader,
    forward: Forward,
    layer: int,
    hidden: Tensor,
    kwargs: Mapping[str, Any],
    known: CachedColumns | None,
) -> dict[str, Any]:
    """New kwargs for ``layer``.

    Args:
        reader: what stays the same for the context.
        forward: the running forward.
        layer: the layer about to run.
        hidden: ``[B, W, D]`` its input, shortened already.
        kwargs: what the decoder hands it.
        known: what its cache holds, if it was shortened in an earlier forward.
    """
    cache = reader.call.cache(kwargs)
    held = _held(reader, forward, layer, cache, known)
    # All layers of a kind between two drops share one mask; a cache object tells by length.
    noted = None if known is None else (id(known.valid), id(known.shift), id(known.places))
    bare = not reader.call.turns(kwargs)
    key = (held.past, held.shown, reader.call.kind(layer), bare, noted)
    if key not in forward.ready:
        forward.ready[key] = _shared(reader, forward, hidden, kwargs, held)
    shared = forward.ready[key]
    length, sequence = held.past + hidden.shape[1], held.before + forward.width
    fixed = shared["fixed"] if known is None or forward.columns else known.fixed
    columns = CachedColumns(
        length, shared["valid"], fixed, sequence, shared["shift"], shared["places"]
    )
    reader.book.remember(cache, layer, columns)
    dropped, answers = sequence - length, reader.call.answer_window
    if held.window is not None:
        count_by_place(cache, layer, held.window, spare=forward.spare(), dropped=dropped)
    if answers is not None:
        take(cache, layer, forward, hidden.shape[1])
        count_by_place(cache, layer, answers, spare=0, dropped=dropped)
    made = {**shared["kwargs"], **reader.call.gathered(forward, kwargs)}
    if reader.call.takes_choices and columns.places is not None:
        now, before = Counted(columns.places, columns.valid, sequence), forward.counted
        forward.counted = columns.places
        if before is not columns.places:
            handed = reader.call.choice(layer, kwargs)
            made |= {k: handed_on(x, before, now, hidden.shape[1]) for k, x in handed.items()}
    return {**kwargs, **made}


def _held(
    reader: Reader, forward: Forward, layer: int, cache: Any, known: CachedColumns | None
) -> _Held:
    window, past = reader.call.window(layer), cached_length(cache, layer)
    if known is not None:
        valid = known.cut(past)
    else:  # it still holds all columns
        valid = None if forward.padding is None or not past else forward.padding[:, :past]
    before, places, shown = columns_before(cache, layer, forward.width), None, past
    if window is not None or reader.call.counts_places:
        places = places_held(known, past)
    if window is not None:
        shown = shown_columns(cache, layer, past)
    kept = 0
    if reader.call.answer_window is not None and past:
        kept, shown = view_of(cache, layer, past)
    return _Held(past, shown, before, valid, places, window, kept)


def _shared(
    reader: Reader, forward: Forward, hidden: Tensor, kwargs: Mapping[str, Any], held: _Held
) -> dict[str, Any]:
    columns = forward.columns
    changed: dict[str, Any] = {}
    places = None if held.places is None else _places(forward, hidden, held.places, held.before)
    if reader.call.whole_tables and places is not None:
        changed["position_embeddings"] = gather_rope(rotary_tables(kwargs), places)
    elif (columns is not None or forward.shift is not None) and reader.call.turns(kwargs):
        rope = alive_rope(reader.numbering, forward, hidden, kwargs, forward.shift)
        changed["position_embeddings"] = as_handed(rope)
    if columns is not None or forward.shift is not None:
        changed["position_ids"] = told_positions(reader.call, forward, kwargs, forward.shift)
    new_valid = _new_padding(forward, hidden) if columns is None else columns.valid
    valid = join_valid(held.valid, held.past, new_valid, hidden)
    places = None if held.places is None else _places(forward, hidden, held.places, held.before)
    view = None
    cuts = held.window is not None and held.before + forward.width > held.window
    if cuts and held.window is not None and places is not None:
        starts = _starts(forward, hidden) if reader.call.chunked else None
        view = View(held.window, held.handed(places), reader.call.cuts_blocks, starts)
    if reader.call.own_masks:
        changed |= _padding(forward, hidden, held)
    else:
        changed["attention_mask"] = causal_mask(
            reader.call.config,
            hidden,
            past=held.shown,
            valid=None if valid is None else held.handed(valid),
            blocks=forward.alive_blocks() if reader.in_blocks(held.window) else None,
            view=view,
        )
    # Made here, once after each drop: launches in each of its layers would add up on a GPU.
    fixed = None if columns is None else held.past + hidden.shape[1] - text_after(forward)
    shift = shift_after(forward, kwargs, forward.shift)
    return {"kwargs": changed, "valid": valid, "fixed": fixed, "shift": shift, "places": places}


def _padding(forward: Forward, hidden: Tensor, held: _Held) -> dict[str, Tensor]:
    """What a layer that makes its own mask is told: ``[B, W]`` bool, which columns are no filler.

    Raises:
        InstrumentError: filler would lie between the columns of two turns, and an index that pools
            neighbours would not look past it.
    """
    if forward.columns is None:  # what the decoder says of this forward's columns holds
        return {}
    valid = forward.columns.valid
    if valid is not None and held.past:
        raise InstrumentError(
            "rows that keep different numbers of tokens cannot go on with a filled cache here: the "
            "index of this decoder pools neighbouring columns, and filler would come between",
            hint="one row at a time, or all pictures in the first turn",
        )
    if valid is None:
        valid = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    return {"attention_mask": valid}


def _places(forward: Forward, hidden: Tensor, past: Tensor, before: int) -> Tensor:
    """``[B, past + W]``: which columns of the sequence all columns of the layer are.

    Raises:
        InstrumentError: the cache has another number of rows.
    """
    batch, width = hidden.shape[:2]
    if len(past) not in (1, batch):
        raise other_rows(len(past), batch)
    new = before + (
        torch.arange(width, device=hidden.device)[None]
        if forward.columns is None
        else forward.columns.index
    )
    return torch.cat([past.to(hidden.device).expand(batch, -1), new.expand(batch, -1)], dim=1)


def _starts(forward: Forward, hidden: Tensor) -> Tensor:
    """``[B]``: the first column of each row that is no padding; chunks are counted from there."""
    if forward.padding is None:
        return torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
    return (forward.padding.long().cumsum(dim=1) == 0).sum(dim=1)


def _new_padding(forward: Forward, hidden: Tensor) -> Tensor | None:
    """Padding of this forward's columns; the only new token of an only row is none."""
    batch, width = hidden.shape[:2]
    if forward.padding is None or (batch == 1 and width == 1):
        return None
    return forward.padding[:, -width:]
