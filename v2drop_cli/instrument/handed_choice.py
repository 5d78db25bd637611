"""Layers without an index of their own attend to what an earlier layer chose, handed on to them.

What is handed on are numbers of columns, as the layer before counts them. Where a drop lies between
the two layers, the choice is what is left of it, in the numbers of the layer that is handed it:

    layer 2   columns 0 1 2 3 4 5 of the prompt   chose 0 2 3 for the last one
    drop at 3 leaves  0 1 . 3 . 5
    layer 3   columns 0 1 2 3                     attends to 0 and 2, which are 0 and 3 there

A token of whose choice nothing is left attends to itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.tensors import gather_rows


@dataclass(frozen=True, slots=True)
class Counted:
    """The columns of one layer, cached ones among them.

    Attributes:
        places: ``[B, C]`` long, which columns of the whole sequence they are. Filler repeats a
            column that comes before it.
        valid: ``[B, C]`` bool, or ``None`` when none is padding or filler.
        sequence: columns of the whole sequence.
    """

    places: Tensor
    valid: Tensor | None
    sequence: int

    def numbers(self) -> Tensor:
        """``[B, sequence]``: the column that each place has here; ``sequence`` where none has."""
        table = self.places.new_full((len(self.places), self.sequence), self.sequence)
        order = torch.arange(self.places.shape[1], device=table.device)
        return table.scatter_reduce(1, self.places, order.expand_as(self.places), "amin")


def handed_on(choice: Tensor, before: Tensor | None, now: Counted, width: int) -> Tensor:
    """What is left of ``choice``, in the columns of the layer that is handed it.

    Args:
        choice: ``[B, Q, k]``, columns of the layer before, for each of its last Q columns.
        before: the places of these columns, ``[B, C]``; ``None`` if it has the whole sequence.
        now: the columns of the layer that is entered.
        width: how many of these, the last ones, are this forward's.
    """
    places, sequence = now.places, now.sequence
    batch, total = places.shape
    if before is None:
        before = torch.arange(sequence, device=places.device).expand(batch, -1)
    before = before.to(places.device)
    theirs = Counted(before, None, sequence).numbers()
    asked = theirs.gather(1, places[:, -width:]) - (before.shape[1] - choice.shape[1])
    mine = gather_rows(choice.to(places.device), asked).long()
    found = now.numbers().gather(1, before.gather(1, mine.flatten(1))).view_as(mine)
    own = torch.arange(total - width, total, device=places.device)[:, None]
    seen = found <= own
    if now.valid is not None:
        inside = found.clamp(max=total - 1).flatten(1)
        seen &= now.valid.to(places.device).gather(1, inside).view_as(mine)
    # The kernel wants a fixed number of columns, so one that stays stands for those that are gone.
    last = found.masked_fill(~seen, -1).amax(dim=-1, keepdim=True)
    return torch.where(found < sequence, found, torch.where(last < 0, own, last)).to(choice.dtype)
