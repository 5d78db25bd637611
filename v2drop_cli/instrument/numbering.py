"""Survivors numbered anew: rotary tables as if the dropped tokens had never been in the prompt.

Most methods keep the positions that tokens had in the prompt, and their rotary tables are gathered
from those the decoder made. A method that renumbers needs tables of positions that the decoder did
not ask for, so its own rotary module is asked for them.

One prompt of 6 columns whose columns 2 and 3 are dropped at layer 4, and the next token:

    layers 0-3    positions [0 1 2 3 4 5]    the next token at 6
    layers from 4 positions [0 1 2 3]        the next token at 4: 6 less a shift of 2

So each layer counts the columns that its own cache holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.layer_call import LayerCall, Tables, as_tables, rotary_tables
from v2drop_cli.methods.base import RENUMBERED, Method
from v2drop_cli.models.decoders import answer_window, layer_kinds, windows
from v2drop_cli.schedule import Schedule
from v2drop_cli.tensors import gather_rope, gather_rows


def renumbers(method: Method, schedule: Schedule) -> bool:
    """Whether any drop of ``schedule`` numbers its survivors anew."""
    return any(method.positions_at(drop.layer) == RENUMBERED for drop in schedule.drops)


def keeps_numbers(config: Any) -> str | None:
    """Why tokens of such a model cannot be numbered anew, as far as its configuration tells."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    if "mrope_section" in rope:
        return "its positions have three axes (M-RoPE), and what renumbering means is not defined"
    if getattr(text, "rope_scaling_layers", None) is not None and layer_kinds(config):
        return "its layers have rotary tables of two kinds, and one module makes one"
    if windows(config) or answer_window(config):
        return "its sliding windows are counted in the prompt's own positions"
    return None


def no_renumbering(config: Any, decoder: Any) -> str | None:
    """Why tokens of this decoder cannot be numbered anew, or ``None``."""
    why = keeps_numbers(config)
    if why is not None:
        return why
    if not hasattr(decoder, "rotary_emb"):
        return f"a {type(decoder).__name__} has no rotary module to ask for other positions"
    return None


def cannot_renumber(method: Method, why: str) -> UnsupportedModelError:
    """The error for a method that renumbers, in a model that cannot."""
    name = next((part for part in method.parts if part.positions == RENUMBERED), method).name
    return UnsupportedModelError(
        f"{name} numbers its survivors anew, and this model cannot: {why}",
        hint=f"write {name}:positions=original",
    )


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a decoder turns positions into rotary tables.

    Attributes:
        rotary: (hidden states, positions ``[B, W]``) → its tables ``[B, W, d]``.
    """

    rotary: Any

    @classmethod
    def of(cls, method: Method, config: Any, decoder: Any) -> Numbering:
        """That of ``decoder``, for a method that renumbers.

        Raises:
            UnsupportedModelError: its tokens cannot be numbered anew.
        """
        why = no_renumbering(config, decoder)
        if why is not None:
            raise cannot_renumber(method, why)
        return cls(decoder.rotary_emb)

    def tables(self, hidden: Tensor, positions: Tensor) -> Tables:
        """The rotary tables ``[B, W, d]`` for ``positions [B, W]``."""
        tables = as_tables(self.rotary(hidden, positions))
        assert tables is not None
        return tables


def numbered_anew(forward: Forward, positions: Tensor) -> Tensor:
    """``[B, W]``: the alive columns one after the other, from the row's first position on.

    Args:
        forward: after its drop.
        positions: ``[B or 1, Q]`` long, where the decoder put this forward's columns.
    """
    assert forward.columns is not None
    index = forward.columns.index
    positions = positions.to(index.device).expand(len(index), -1)
    first = torch.zeros_like(index[:, :1])
    if forward.padding is not None:
        own = forward.padding[:, -forward.width :].to(torch.uint8)
        first = own.argmax(dim=1, keepdim=True).to(index.device)
    order = torch.arange(index.shape[1], device=index.device)
    if forward.columns.left and forward.columns.valid is not None:  # filler comes first
        order = (forward.columns.valid.to(index.device).cumsum(dim=1) - 1).clamp(min=0)
    return positions.gather(1, first) + order


def positions_of(kwargs: Mapping[str, Any]) -> Tensor:
    """``[B or 1, Q]`` long: where the decoder put this forward's columns.

    Raises:
        InstrumentError: it did not tell its layers.
    """
    found = kwargs.get("position_ids")
    if isinstance(found, Tensor) and found.dim() == 2:
        return found
    raise InstrumentError(
        "this decoder does not tell its layers the positions of their tokens",
        hint="use positions=original with this model",
    )


def positions_now(
    forward: Forward, kwargs: Mapping[str, Any], shift: Tensor | None
) -> Tensor | None:
    """``[B, W]``: positions of the alive columns; ``None`` if they are those of the prompt.

    Args:
        forward: the running one.
        kwargs: what the decoder hands the layer.
        shift: ``[B]`` how far earlier turns moved this layer's later tokens down.
    """
    if forward.numbers is None and shift is None:
        return None
    return _positions(forward, kwargs, shift)


def _positions(forward: Forward, kwargs: Mapping[str, Any], shift: Tensor | None) -> Tensor:
    """``[B or 1, W]``: positions of the alive columns."""
    found = forward.numbers
    if found is None:
        found = positions_of(kwargs)
        if forward.columns is not None:
            index = forward.columns.index
            found = found.to(index.device).expand(len(index), -1).gather(1, index)
    return found if shift is None else found - shift.to(found.device)[:, None]


def shift_after(forward: Forward, kwargs: Mapping[str, Any], shift: Tensor | None) -> Tensor | None:
    """``[B]``: how far below its position in the sequence this layer's next token is.

    The last column of a row is text, which always stays; the next token follows it.
    """
    if forward.numbers is None or forward.columns is None:
        return shift
    index = forward.columns.index
    last = torch.full_like(index[:, :1], index.shape[1] - 1)
    if forward.columns.valid is not None and not forward.columns.left:
        last = forward.columns.valid.sum(dim=1, keepdim=True) - 1
    before = positions_of(kwargs).to(index.device).expand(len(index), -1)
    moved = (before.gather(1, index.gather(1, last)) - forward.numbers.gather(1, last))[:, 0]
    return moved if shift is None else moved + shift.to(moved.device)


def alive_rope(
    numbering: Numbering | None,
    forward: Forward,
    hidden: Tensor,
    kwargs: Mapping[str, Any],
    shift: Tensor | None,
) -> Tables:
    """The rotary tables of the alive columns, ``[B or 1, W, d]`` or M-RoPE ``[3, B, W, d]``."""
    positions = positions_now(forward, kwargs, shift)
    if positions is not None:
        assert numbering is not None
        return numbering.tables(hidden, positions)
    rope = rotary_tables(kwargs)
    if forward.columns is None:
        return rope
    return gather_rope(rope, forward.columns.index.to(rope[0].device))


def told_positions(
    call: LayerCall, forward: Forward, kwargs: Mapping[str, Any], shift: Tensor | None
) -> Tensor | None:
    """``[B or 1, W]``: the position ids that a layer is handed; ``None`` for nearly all decoders.

    A row of gapped positions would read as packed sequences to flash kernels. A decoder that
    scales queries by their positions is told them all the same. One row under flash is told
    positions without gaps, as long as none of them is scaled.

    Raises:
        UnsupportedModelError: one row under flash, some of whose queries are scaled.
    """
    if call.scaled_from is None:
        return None
    found = _positions(forward, kwargs, shift)
    if len(found) > 1 or "flash" not in str(call.config._attn_implementation):
        return found
    gapless = found[:, :1] + torch.arange(found.shape[1], device=found.device)
    # Read back once after each drop; transformers' own look for packed rows does it in each layer.
    if bool((found == gapless).all()) or int(found.max()) < call.scaled_from:
        return gapless
    raise UnsupportedModelError(
        f"this decoder scales queries by their positions from {call.scaled_from} on, and flash "
        "kernels would read the gaps that dropping leaves in a row's positions as packed sequences",
        hint="use sdpa, or a shorter prompt",
    )


def carried(numbers: Tensor | None, packed_index: Tensor) -> Tensor | None:
    """New numbers of an earlier drop, for the columns that a later one leaves."""
    return None if numbers is None else gather_rows(numbers[..., None], packed_index)[..., 0]
