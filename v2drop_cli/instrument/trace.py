"""What was dropped, told in prompt positions. Tensors stay on the device until read."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class DropEvent:
    """One drop of one forward.

    Attributes:
        layer: decoder layer whose input was shortened.
        before: vision tokens alive before, per batch row.
        after: vision tokens alive after, per batch row.
        positions: per batch row, ``[k]`` positions of the kept vision tokens in the whole
            sequence (padding counted, earlier turns counted).
    """

    layer: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    positions: tuple[Tensor, ...]

    @property
    def kept(self) -> tuple[tuple[int, ...], ...]:
        """:attr:`positions` as plain numbers. Copies from the device: not in a timed region."""
        return tuple(tuple(row.tolist()) for row in self.positions)


@dataclass(slots=True)
class DropTrace:
    """All drops since the context was entered, or since :meth:`clear`, in order."""

    events: list[DropEvent] = field(default_factory=list)

    def clear(self) -> None:
        """Forget the events so far: call it between generations to tell them apart."""
        self.events.clear()
