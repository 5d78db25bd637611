"""What a method's own schedule has to fit: a decoder's depth and, once known, a prompt.

No torch: ``--budget`` is resolved from numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """

    n_layers: int
    first_droppable: int = 0
    n_vision: int | None = None
    presets: Mapping[str, str] = field(default_factory=lambda: dict(PRESETS))
    preset_layers: int = REFERENCE_DEPTH

    @classmethod
    def of(
        cls, family: Presets, n_layers: int, first_droppable: int, n_vision: int | None = None
    ) -> Shape:
        """The shape of a model of ``family``."""
        return cls(n_layers, first_droppable, n_vision, family.presets, family.preset_layers)

    def preset(self, name: str = DEFAULT_PRESET) -> Schedule:
        """A preset of the family, scaled to this depth.

        Raises:
            UnknownNameError: there is none of that name.
        """
        found: Schedule = preset(
            name, self.presets, self.n_layers, self.first_droppable, self.preset_layers
        )
        return found

    def scaled(self, layers: Sequence[int]) -> list[int]:
        """Layers of a decoder of 32, as most papers give them, at the same depths of this one."""
        return scale_layers(layers, self.n_layers, self.first_droppable)

    def solved(self, budget: float, layers: Sequence[int] | None = None) -> Schedule:
        """Drops at ``layers`` (V2Drop's by default) whose layer average is ``budget``.

        Raises:
            ScheduleError: the prompt is not known yet, or no such drops meet the budget.
        """
        if self.n_vision is None:
            raise ScheduleError(
                "a budget is a share of a prompt's vision tokens, and there is no prompt yet",
                hint="give a schedule, or the name of a preset",
            )
        return solve_budget(
            budget,
            n_vision=self.n_vision,
            n_layers=self.n_layers,
            layers=layers or self.scaled(REFERENCE_LAYERS),
        )
