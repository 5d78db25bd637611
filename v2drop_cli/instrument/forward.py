"""One forward of the model, from the ids to the decoder's output: what is alive where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.instrument.later_features import LaterFeatures
from v2drop_cli.tensors import Columns, gather_rows


@dataclass(slots=True)
class Forward:
    """One forward of the model, from the ids to the decoder's output.

    Attributes:
        vision: per row, ``[n]`` columns of the vision tokens in this forward's input.
        padding: ``[B, past + Q]`` bool from the caller's attention mask, or ``None``.
        foreign_mask: the caller's mask has a form of its own, which cannot be shortened.
        width: Q, columns of this forward before any drop.
        blocks: ``[B, Q]`` long, which columns attend in both directions, or ``None``.
        lengths: per row, how many of them are no padding; on the host, known if there is vision.
        after: per row, how many of these follow its last vision token; on the host, known to
            methods that look at text.
        columns: the columns still alive, or ``None`` while nothing was dropped.
        alive: per row, where the alive vision tokens are among the alive columns.
        numbers: ``[B, W]`` long, positions of the alive columns that a drop numbered anew.
        shift: ``[B]`` long, how far earlier turns moved the running layer's columns down.
        counted: ``[B, C]`` long, the places of all columns of the layer that ran before, where
            layers hand on what they chose; ``None`` if it had the whole sequence.
        moved: whether a method gave tokens another order than the sequence's.
        previous: ``[B, W, D]`` input of the layer before a drop, while it is needed.
        later: vision features that the hooks add between layers, or ``None``.
        handed_before: what the decoder handed that layer, likewise.
        embeddings: ``[B, Q, D]`` what the decoder was given, if the method needs it.
        arguments: of the model's call, if the method needs them; else empty.
        notes: by row and name, what a method found once for all drops of this forward.
        ready: per cached length, the kwargs of the layers up to the next drop, made once.
        handed: per layer whose keys later ones share, what it was handed in place of the
            decoder's arguments.
    """

    vision: tuple[Tensor, ...] = ()
    padding: Tensor | None = None
    width: int = 0
    lengths: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    foreign_mask: bool = False
    blocks: Tensor | None = None
    columns: Columns | None = None
    alive: list[Tensor] = field(default_factory=list)
    numbers: Tensor | None = None
    shift: Tensor | None = None
    counted: Tensor | None = None
    moved: bool = False
    previous: Tensor | None = None
    later: LaterFeatures | None = None
    handed_before: Mapping[str, Any] = field(default_factory=dict)
    embeddings: Tensor | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    notes: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    ready: dict[Any, dict[str, Any]] = field(default_factory=dict)
    handed: dict[int, dict[str, Any]] = field(default_factory=dict)

    def move(self, device: torch.device) -> None:
        """Follow a model that is spread over devices."""
        if self.alive and self.alive[0].device != device:
            self.vision = tuple(row.to(device) for row in self.vision)
            self.alive = [row.to(device) for row in self.alive]
            self.columns = None if self.columns is None else self.columns.to(device)
            self.numbers = None if self.numbers is None else self.numbers.to(device)
            self.ready.clear()
        if self.padding is not None:
            self.padding = self.padding.to(device)
        if self.blocks is not None:
            self.blocks = self.blocks.to(device)

    def alive_blocks(self) -> Tensor | None:
        """``[B, W]``: the blocks of the columns still alive."""
        if self.blocks is None or self.columns is None:
            return self.blocks
        return gather_rows(self.blocks[..., None], self.columns.index)[..., 0]

    def spare(self) -> int:
        """How many of the last columns of a row may lie before others of it, or be filler."""
        if self.columns is None:
            return 0
        width = self.columns.width
        return width if self.moved else width - min(self.columns.lengths)


def as_padding(attention_mask: Any) -> Tensor | None:
    """A 2-D attention mask as bool, ``None`` for any other."""
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 2:
        return attention_mask.bool()
    return None


def counted_after(forward: Forward) -> tuple[int, ...]:
    """:attr:`Forward.after`. Waits for the device; nothing is queued yet when a forward begins."""
    if not forward.vision:
        return ()
    like = forward.vision[0]
    last = torch.stack([row[-1] if len(row) else like.new_full((), -1) for row in forward.vision])
    behind = torch.arange(forward.width, device=last.device) > last[:, None]
    if forward.padding is not None:
        behind &= forward.padding[:, -forward.width :].to(last.device)
    return tuple(behind.sum(dim=1).tolist())


def text_after(forward: Forward) -> Tensor:
    """0-d: columns after every row's last vision token; none can be told apart from filler.

    Nor from padding there, which short layers do not hold.
    """
    assert forward.columns is not None
    like = forward.columns.index
    if forward.columns.valid is not None:
        return like.new_zeros(())
    rows = [row[-1] if len(row) else like.new_full((), -1) for row in forward.vision]
    last = torch.stack(rows)
    after = forward.width - 1 - last.max()
    if forward.padding is None:
        return after
    behind = torch.arange(forward.width, device=last.device) > last[:, None]
    holes = behind & ~forward.padding[:, -forward.width :].to(last.device)
    return torch.where(holes.any(), torch.zeros_like(after), after)


def compose(before: Columns | None, packed: Columns) -> Columns:
    """Columns of the shortened input, as columns of this forward's input."""
    if before is None:
        return packed
    index = gather_rows(before.index[..., None], packed.index)[..., 0]
    return replace(packed, index=index)
