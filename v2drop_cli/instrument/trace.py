"""What was dropped, told in prompt positions. Tensors stay on the device until read."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Merge:
    """What one row's survivors took in.

    Attributes:
        into: ``[n]`` which survivor each token alive before was merged into, ``-1`` for none.
        positions: ``[n]`` where those tokens are in the whole sequence.
    """

    into: Tensor
    positions: Tensor

    def sources(self, kept: Tensor) -> tuple[tuple[int, ...], ...]:
        """Per survivor, of which ``kept`` holds the position, those of the others in it."""
        own = kept.tolist()
        found: list[list[int]] = [[] for _ in own]
        for survivor, position in zip(self.into.tolist(), self.positions.tolist(), strict=True):
            if survivor >= 0 and own[survivor] != position:
                found[survivor].append(position)
        return tuple(map(tuple, found))


@dataclass(frozen=True, slots=True)
class DropEvent:
    """One drop of one forward.

    Attributes:
        layer: decoder layer whose input was shortened.
        before: vision tokens alive before, per batch row.
        after: vision tokens alive after, per batch row.
        positions: per batch row, ``[k]`` positions of the kept vision tokens in the whole
            sequence (padding counted, earlier turns counted).
        merges: per batch row, what its survivors took in, ``None`` for a row in which nothing
            was merged; empty if that is so for all rows.
    """

    layer: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    positions: tuple[Tensor, ...]
    merges: tuple[Merge | None, ...] = ()

    @property
    def kept(self) -> tuple[tuple[int, ...], ...]:
        """:attr:`positions` as plain numbers. Copies from the device: not in a timed region."""
        return tuple(tuple(row.tolist()) for row in self.positions)

    @property
    def sources(self) -> tuple[tuple[tuple[int, ...], ...], ...] | None:
        """Per row and kept token, the positions merged into it here; ``None`` if none were.

        Copies from the device, as :attr:`kept` does.
        """
        if not self.merges:
            return None
        return tuple(
            ((),) * len(kept) if merge is None else merge.sources(kept)
            for kept, merge in zip(self.positions, self.merges, strict=True)
        )


@dataclass(slots=True)
class DropTrace:
    """All drops since the context was entered, or since :meth:`clear`, in order."""

    events: list[DropEvent] = field(default_factory=list)

    def clear(self) -> None:
        """Forget the events so far: call it between generations to tell them apart."""
        self.events.clear()
