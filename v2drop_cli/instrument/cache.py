"""What each layer's KV cache holds, remembered per cache while a context is open.

A dropped prompt leaves layers with caches of different lengths. ``get_seq_length()`` tells the
length of the whole sequence (for drops at layer 0 see :mod:`~v2drop_cli.instrument.entry`), so
positions keep counting from it; but masks of later forwards must have each layer's own length,
and know which of its columns are filler.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.entry import cropped_into_a_prompt, held_at_entry, teller


def cached_length(cache: Any, layer: int) -> int:
    """Columns that ``cache`` holds at ``layer``; 0 without a cache."""
    if cache is None:
        return 0
    return held_at_entry(cache) if layer == teller(cache) else int(cache.get_seq_length(layer))


def sequence_length(cache: Any) -> int:
    """Columns of the whole sequence in ``cache``, dropped ones counted; 0 without a cache."""
    return 0 if cache is None else int(cache.get_seq_length())


def columns_before(cache: Any, layer: int, width: int) -> int:
    """Columns of the whole sequence before the forward of ``width`` that enters ``layer``."""
    length = sequence_length(cache)
    # Its teller, layer 0 as a rule, holds this forward's columns when a later layer is entered.
    return max(0, length - width) if length and layer > teller(cache) else length


@dataclass(frozen=True, slots=True)
class CachedColumns:
    """One layer's cache after its last forward under this context.

    Attributes:
        length: columns held.
        valid: ``[B, length]`` bool, or ``None`` when none is padding or filler.
        fixed: how many columns at the start belong to a prompt with dropped tokens. Cropping
            takes as many columns from every layer, which is only right after these. A 0-d
            tensor, read on the host only if something was cropped.
        sequence: columns of the whole sequence, dropped ones counted.
        shift: ``[B]`` long, how far below its position in the sequence the next token is, where
            survivors were numbered anew; else ``None``.
        places: ``[B, length]`` long, which columns of the whole sequence these are; known where
            a sliding window counts them, else ``None``.
    """

    length: int
    valid: Tensor | None
    fixed: Tensor
    sequence: int
    shift: Tensor | None = None
    places: Tensor | None = None

    def holds(self, length: int, sequence: int) -> bool:
        """Whether a layer of ``length`` columns is this one, as it was or cropped.

        A crop takes as many columns off every layer as off the sequence. A forward that failed
        half way has filled some layers only; and ``crop`` to a length that is to be left, as in
        transformers 5.17, cuts no layer that is shorter than that already.
        """
        return length <= self.length and self.length - length == self.sequence - sequence

    def cut(self, length: int) -> Tensor | None:
        """Validity of the first ``length`` columns: rolled-back generation crops the tail.

        Raises:
            InstrumentError: the crop reaches into a prompt whose tokens were dropped.
        """
        if length < self.length and length < int(self.fixed):
            raise cropped_into_a_prompt()
        return None if self.valid is None else self.valid[:, :length]

    def shift_of(self, rows: int) -> Tensor | None:
        """:attr:`shift` for so many rows; a cache of one row may have been repeated for them.

        Raises:
            InstrumentError: the cache has another number of rows.
        """
        if self.shift is not None and len(self.shift) not in (1, rows):
            raise other_rows(len(self.shift), rows)
        return self.shift


def other_rows(cached: int, new: int) -> InstrumentError:
    """What is said of a cache that has another number of rows than the forward."""
    return InstrumentError(
        f"the KV cache has {cached} rows, the new tokens {new}",
        hint="repeat or select rows before the first forward, not on the cache",
    )


def _from_elsewhere() -> InstrumentError:
    return InstrumentError(
        "this KV cache was filled, shortened or copied outside this dropping() context",
        hint="keep one dropping() context open for all turns on a cache",
    )


def places_held(known: CachedColumns | None, past: int) -> Tensor:
    """``[B or 1, past]``: which columns of the sequence a layer's cached ones are."""
    if known is None or known.places is None:  # nothing was dropped there
        return torch.arange(past)[None]
    return known.places[:, :past]


class CacheBook:
    """Per cache object and layer, the columns of every layer that ever came out shortened."""

    def __init__(self) -> None:
        self._pages: WeakKeyDictionary[Any, dict[int, CachedColumns]] = WeakKeyDictionary()

    def shortened(self, cache: Any, layer: int, before: int) -> CachedColumns | None:
        """What is known of ``layer``, or ``None`` where it holds the whole sequence.

        Args:
            cache: the cache, or ``None``.
            layer: the layer about to run.
            before: columns of the whole sequence before this forward.

        Raises:
            InstrumentError: the layer holds something else than this context left there.
        """
        if cache is None:
            return None
        known = self._pages.get(cache, {}).get(layer)
        length = cached_length(cache, layer)
        if known is not None and length:
            if known.holds(length, before):
                return known
        elif length == before or getattr(cache, "is_compileable", False):
            # An emptied cache starts over: what it held is nothing to later forwards.
            self._pages.get(cache, {}).pop(layer, None)
            return None
        raise _from_elsewhere()

    def folded(self, cache: Any, layer: int, before: int) -> CachedColumns | None:
        """What is known of a ``layer`` that keeps no columns; ``None`` if its state saw them all.

        A state does not say what was folded into it. What this context knows is followed: it goes
        on by as many columns as the sequence, and a crop takes as many off.

        Args:
            cache: the cache, or ``None``.
            layer: the layer about to run.
            before: columns of the whole sequence before this forward.

        Raises:
            InstrumentError: the sequence grew outside this context, or was cropped into a prompt.
        """
        known = None if cache is None else self._pages.get(cache, {}).get(layer)
        if known is None:
            return None
        if not before:  # an emptied cache starts over
            del self._pages[cache][layer]
            return None
        if before > known.sequence:
            raise _from_elsewhere()
        length = known.length - (known.sequence - before)
        known.cut(length)
        return replace(known, length=length)

    def known(self, cache: Any, layer: int) -> CachedColumns | None:
        """What was last noted for ``layer``; ``None`` if it is empty, or was never shortened."""
        if not cached_length(cache, layer):
            return None
        return self._pages.get(cache, {}).get(layer)

    def check(self, cache: Any, layers: Iterable[int]) -> None:
        """Refuse a cache whose ``layers``, which never drop here, were shortened elsewhere."""
        if cache is None or getattr(cache, "is_compileable", False):
            return
        full = sequence_length(cache)
        if any(cached_length(cache, layer) != full for layer in layers):
            raise _from_elsewhere()

    def remember(self, cache: Any, layer: int, columns: CachedColumns) -> None:
        """Note ``columns`` for ``layer``, replacing what was known."""
        if cache is not None:
            self._pages.setdefault(cache, {})[layer] = columns


def refuse_rebuilt(cache: Any, padding: Tensor | None, width: int) -> None:
    """Refuse a cache shorter than the attention mask says, as one rebuilt from its tensors is.

    After a drop at layer 0 all layers may be equally short. The cache that was told so makes up
    for that; a new one that was given the same keys and values cannot.

    Args:
        cache: the cache, or ``None``.
        padding: ``[B, columns]``, the 2-D attention mask; without one nothing can be told.
        width: columns of this forward.
    """
    if cache is None or padding is None or getattr(cache, "is_compileable", False):
        return
    before = sequence_length(cache)
    if before and padding.shape[1] > before + width:
        raise _from_elsewhere()


def refuse_static(cache: Any) -> None:
    """Raise :class:`InstrumentError` for a cache whose layers cannot differ in length."""
    if getattr(cache, "is_compileable", False):
        raise InstrumentError(
            f"{type(cache).__name__} has one length for all layers; dropping makes them differ",
            hint="generate with the default dynamic cache",
        )


def join_valid(past: Tensor | None, past_length: int, new: Tensor | None, like: Tensor) -> Any:
    """Validity over cached and new columns; ``None`` when all of them are valid.

    Args:
        past: ``[B, past_length]`` bool or ``None`` for all valid.
        past_length: cached columns.
        new: ``[B, W]`` bool or ``None`` for all valid.
        like: ``[B, W, D]`` hidden states, for sizes and device.

    Raises:
        InstrumentError: the cache has another number of rows.
    """
    if past is None and new is None:
        return None
    batch, width = like.shape[:2]
    if past is not None and len(past) != batch:
        raise other_rows(len(past), batch)
    ones = {"dtype": torch.bool, "device": like.device}
    past = torch.ones(batch, past_length, **ones) if past is None else past  # type: ignore[call-overload]
    new = torch.ones(batch, width, **ones) if new is None else new  # type: ignore[call-overload]
    return torch.cat([past, new], dim=1)
