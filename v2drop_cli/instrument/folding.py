"""Layers that keep no columns: linear attention, state-space and convolution layers.

Such a layer folds each token into a state of a fixed size, and later tokens see the state alone.
A dropped token cannot be masked in there. After a drop the layer runs over the shortened sequence,
as if the dropped tokens had never come; what layers before the drop folded in stays folded in.

    prompt        10 columns, 3 of them dropped at layer 2
    layers 0, 1   10 columns   their states have seen all 10
    layer 2, 3     7 columns   their states have seen 7, their convolutions these 7 side by side
    next token     1 column    goes into every state

Rows with fewer survivors are filled up on the left, and the filler is masked there, as the model
masks padding: its hidden states are made zero, and a state that begins with zeros stays as it was
born. Filler on the right would be folded in behind a row's last token. A state that was filled in
an earlier turn does not stay as it is under zeros: rows of different lengths are refused there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import CachedColumns
from v2drop_cli.instrument.forward import Forward, text_after
from v2drop_cli.instrument.layer_call import LayerCall


def folded_call(
    call: LayerCall, forward: Forward, hidden: Tensor, kwargs: dict[str, Any], before: int
) -> tuple[Tensor, dict[str, Any]] | None:
    """What a layer without columns gets instead; ``None`` leaves its call alone.

    Args:
        call: how the decoder calls its layers.
        forward: the running one.
        hidden: ``[B, W, D]`` the layer's input.
        kwargs: what the decoder hands the layer.
        before: columns of the whole sequence before this forward.

    Raises:
        InstrumentError: filler would come between a filled state and a row's tokens.
    """
    if forward.columns is None:  # text of a later turn: the layer's own state goes on
        return None
    valid = forward.columns.valid
    if valid is not None and before:
        raise InstrumentError(
            "rows of a later turn come out of a drop with different lengths, and filler between "
            "two turns would change a state",
            hint="drop counts that leave all rows equally long, or one row at a time",
        )
    changed = {call.padding_name: valid, "position_ids": None}
    return hidden, {**kwargs, **changed, **call.gathered(forward, kwargs)}


def folded(forward: Forward, known: CachedColumns | None, before: int) -> CachedColumns:
    """What a layer without columns will have in its state after this forward.

    Args:
        forward: the running one, shortened here or in an earlier turn.
        known: the state before, ``None`` if it has seen the whole sequence.
        before: columns of the whole sequence before this forward.
    """
    held, sequence = before if known is None else known.length, before + forward.width
    if forward.columns is None:
        assert known is not None
        return replace(known, length=held + forward.width, sequence=sequence)
    held += forward.columns.width
    key = ("folded", held)  # made once after each drop: launches in each layer would add up
    if key not in forward.ready:
        forward.ready[key] = {"fixed": held - text_after(forward)}
    return CachedColumns(held, None, forward.ready[key]["fixed"], sequence)
