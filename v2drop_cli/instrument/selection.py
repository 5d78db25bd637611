"""What a method chose at one drop, as columns that stay."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from v2drop_cli.methods.base import Kept
from v2drop_cli.tensors import true_columns


@dataclass(slots=True)
class Selection:
    """The choice of all rows at one drop.

    One row of 6 columns with vision tokens in columns 1 to 4, of which a method keeps the last two,
    ``Kept(index=[2, 3])``, and then the same two the other way round, ``in_order``:

        rows [[0, 3, 4, 5]]   alive [[1, 2]]
        rows [[0, 4, 3, 5]]   alive [[1, 2]]

    Attributes:
        rows: per row, the columns that stay.
        alive: per row, where the kept vision tokens are among them, ascending.
        sources: per row, :attr:`Kept.sources`.
        hidden: the hidden states with merged tokens written in, ``None`` if none were.
        moved: whether a method gave tokens an order, which may be another than the sequence's.
    """

    rows: list[Tensor] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)
    sources: list[Tensor | None] = field(default_factory=list)
    hidden: Tensor | None = None
    moved: bool = False

    def add(self, keep: Kept, hidden: Tensor, vision: Tensor, stays: Tensor, n_stay: int) -> None:
        """Add the next row.

        Args:
            keep: what the method said.
            hidden: ``[B, W, D]`` the hidden states of all rows, before anything is removed.
            vision: ``[n]`` long, columns of this row's alive vision tokens.
            stays: ``[W]`` bool, its columns that are no filler; is written to.
            n_stay: how many columns will be left; known on the host.
        """
        chosen = vision[keep.index]
        if keep.merged is not None:
            self.hidden = hidden.clone() if self.hidden is None else self.hidden
            self.hidden[len(self.rows), chosen] = keep.merged
        # Not by assignment: that makes a tensor of the bool, and uploading it waits for a GPU.
        stays.index_fill_(0, vision, False)
        stays.index_fill_(0, chosen, True)
        row = true_columns(stays, n_stay)
        # A kept token's new column is the number of staying columns before it.
        places = (stays.cumsum(0) - 1)[chosen]
        if keep.in_order:  # tokens move among the places that vision tokens have
            places = places.sort().values
            row = row.index_copy(0, places, chosen)
            self.moved = True
        self.rows.append(row)
        self.alive.append(places)
        self.sources.append(keep.sources)
