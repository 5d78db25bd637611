"""Sliding windows on the answer alone (Unlimited-OCR): the prompt stays in view to the end.

The cache of such a layer has two parts. The first one holds the prompt and throws nothing away; the
second one holds the last tokens of the answer, as many as the window lets the next one see:

    prompt 0 to 9, of which a layer is left 7; window 3; the next token is column 14

    the cache holds   0 1 2 4 7 8 9   12 13      and the new token sees all of it, and itself

An answer has no dropped tokens, so columns and places are one there. The cache must only be told
how long its prompt is after a drop: ``generate`` told it beforehand, by the whole prompt's length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.windows import layer_of


def view_of(cache: Any, layer: int, past: int) -> tuple[int, int]:
    """Columns of the prompt's part, and how many of all ``past`` ones the attention is handed."""
    found: Any = layer_of(cache, layer)
    prompt = int(getattr(found, "prefill_cumulative_length", past))
    return prompt, prompt + min(past - prompt, getattr(found, "sliding_window", 1) - 1)


def in_view(columns: Tensor, prompt: int, thrown: int) -> Tensor:
    """Of ``columns [B, n]``, those that are left of a layer that threw some away."""
    return torch.cat([columns[:, :prompt], columns[:, prompt + thrown :]], dim=1)


def take(cache: Any, layer: int, forward: Forward, new: int) -> None:
    """Before ``layer`` takes ``new`` columns, and is spared the others of ``forward``.

    Raises:
        InstrumentError: a picture comes behind an answer, or the window cuts between several
            tokens, or in a batch with padding.
    """
    dropped = forward.width - new
    found: Any = None if cache is None else layer_of(cache, layer)
    if not hasattr(found, "prefill_cumulative_length"):
        return
    told = found.prefill_length
    if told is None or found.prefill_cumulative_length < told:
        if told is not None:
            found.prefill_length = told - dropped
        return
    if dropped:
        raise InstrumentError(
            "in this model a later turn is a part of the answer, whose sliding window would count "
            "dropped tokens",
            hint="give each prompt with a picture a cache of its own",
        )
    if found.cumulative_length + new <= found.sliding_window:
        return
    if forward.padding is not None and len(forward.padding) > 1 and not forward.padding.all():
        raise InstrumentError(
            "the answers of this padded batch are longer than the model's sliding window, and "
            "transformers would let layers before the drop attend to the padding",
            hint="one prompt at a time, prompts of one length, or shorter answers",
        )
    if new > 1:
        raise InstrumentError(
            "several tokens at once come behind a shortened prompt, and this model's sliding "
            "window cuts between them",
            hint="one token at a time, or answers that fit into the window",
        )
