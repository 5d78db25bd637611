"""What a method's own schedule has to fit: a decoder's depth and, once known, a prompt.

No torch: ``--budget`` is resolved from numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from v2drop_cli.errors import ScheduleError
from v2drop_cli.schedule import (
    DEFAULT_PRESET,
    PRESETS,
    REFERENCE_DEPTH,
    REFERENCE_LAYERS,
    Schedule,
    preset,
    scale_layers,
    solve_budget,
)

BEFORE_FIRST = 0.75
"""Where drops have to move to meet a budget, the layers before the first one take this share of it.

As they do in PyramidDrop at its own layers (8, 16, 24 of 32) and a third of the tokens.
"""


# The first layer that can drop, and the last one, which is None where all later ones can.
Droppable = tuple[int, int | None]


class Presets(Protocol):
    """The part of a family that :meth:`Shape.of` reads."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Named schedules."""

    @property
    def preset_layers(self) -> int:
        """Decoder layers that they are written for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A model, and a prompt where there is one already.

    Attributes:
        n_layers: decoder layers.
        first_droppable: the first layer whose input may be shortened.
        n_vision: vision tokens of the prompt; ``None`` before there is one.
        presets: the family's named schedules.
        preset_layers: decoder layers that these are written for.
        last_droppable: the last layer whose input may be shortened, where that is not any.
    """

    n_layers: int
    first_droppable: int = 0
    n_vision: int | None = None
    presets: Mapping[str, str] = field(default_factory=lambda: dict(PRESETS))
    preset_layers: int = REFERENCE_DEPTH
    last_droppable: int | None = None

    @classmethod
    def of(
        cls, family: Presets, n_layers: int, droppable: Droppable, n_vision: int | None = None
    ) -> Shape:
        """The shape of a model of ``family``."""
        first, last = droppable
        return cls(n_layers, first, n_vision, family.presets, family.preset_layers, last)

    @property
    def depth(self) -> int:
        """Layers that a schedule is scaled to: those up to the last one that can drop."""
        return self.n_layers if self.last_droppable is None else self.last_droppable + 1

    def preset(self, name: str = DEFAULT_PRESET) -> Schedule:
        """A preset of the family, scaled to this depth.

        Raises:
            UnknownNameError: there is none of that name.
        """
        found: Schedule = preset(
            name, self.presets, self.depth, self.first_droppable, self.preset_layers
        )
        return found

    def scaled(self, layers: Sequence[int]) -> list[int]:
        """Layers of a decoder of 32, as most papers give them, at the same depths of this one."""
        return scale_layers(layers, self.depth, self.first_droppable)

    @property
    def prompt(self) -> int:
        """The prompt's vision tokens, for what cannot do without them.

        Raises:
            ScheduleError: the prompt is not known yet.
        """
        if self.n_vision is None:
            raise ScheduleError(
                "a budget is a share of a prompt's vision tokens, and there is no prompt yet",
                hint="give a schedule, or the name of a preset",
            )
        return self.n_vision

    def solved(self, budget: float, layers: Sequence[int] | None = None) -> Schedule:
        """Drops at a method's own ``layers`` whose layer average is ``budget``.

        Every drop keeps the same share of what is alive. Without ``layers`` they are V2Drop's,
        and so is the shape: its last drop takes the rest where the budget allows it.

        Where the layers before the first drop alone exceed the budget, all drops move to earlier
        layers in proportion, never to layer 0, so that a method whose paper begins late can be
        compared at small budgets, too. That is our setting, not the authors': the schedule says
        where it moved from.

        Raises:
            ScheduleError: the prompt is not known yet, or no such drops meet the budget.
        """
        own = tuple(self.scaled(REFERENCE_LAYERS) if layers is None else layers)
        moved = self._within(budget, own)
        found = solve_budget(
            budget,
            n_vision=self.prompt,
            n_layers=self.n_layers,
            layers=moved,
            empties=layers is None,
        )
        return found if moved == own else replace(found, moved_from=own)

    def solved_at(self, budget: float, layers: Sequence[int]) -> Schedule:
        """The same at layers that the user named: drops stay where they were asked for.

        Raises:
            ScheduleError: the prompt is not known yet, or no drops at these layers meet the budget.
        """
        return solve_budget(budget, n_vision=self.prompt, n_layers=self.n_layers, layers=layers)

    def _within(self, budget: float, layers: tuple[int, ...]) -> tuple[int, ...]:
        """The same ``layers``, or earlier ones in proportion, where these exceed the budget."""
        lowest = self.prompt * layers[0] / self.n_layers
        if not 0 <= budget < lowest - 0.5:
            return layers
        wanted = int(BEFORE_FIRST * budget * self.n_layers / self.prompt)
        first = max(wanted, self.first_droppable, 1)
        if first >= layers[0]:
            return layers
        moved: list[int] = []
        for layer in layers:
            earliest = moved[-1] + 1 if moved else first
            moved.append(max(earliest, round(layer * first / layers[0])))
        return tuple(moved)
