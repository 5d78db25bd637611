"""What methods that choose before the decoder share: one drop at layer 0, and how they choose.

Each of their authors names a count for the whole prompt, and numbers the survivors anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.base import (
    CLASS_TOKEN,
    RENUMBERED,
    TOWER,
    DropContext,
    Kept,
    Method,
    Positions,
    TowerLayer,
    refuse_nan,
)
from v2drop_cli.methods.crops import of_each
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule


@dataclass(frozen=True)
class BeforeDecoder(Method):
    """Drops once, at layer 0: a budget is the count of that drop.

    Attributes:
        usual: the drop where nobody names a schedule or a budget; by default 64 tokens, the
            smallest count that most authors have in their tables.
    """

    usual: ClassVar[Drop] = Drop(0, count=64)
    positions: Positions = field(default=RENUMBERED, kw_only=True)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop, of the decoder's own input: the budget is its count."""
        return Schedule((self.usual if budget is None else Drop(0, count=round(budget)),))


def refuse_later(method: Method, schedule: Schedule, why: str) -> None:
    """Refuse drops inside the decoder, for a method that means nothing there.

    Raises:
        ScheduleError: there is one.
    """
    for drop in schedule.drops:
        if drop.layer:
            raise ScheduleError(
                f"{method.name} cannot drop at layer {drop.layer}: {why}",
                hint="drop at layer 0, for example --schedule 0:10%",
            )


@dataclass(frozen=True)
class ByPicture(BeforeDecoder):
    """Prunes each picture of a row by itself, with an equal part of the count.

    It knows the class token's attention in the tower's block -2, and what the projector is given.
    """

    needs: ClassVar[frozenset[str]] = frozenset({TOWER, CLASS_TOKEN})
    tower_layers: ClassVar[tuple[TowerLayer, ...]] = (-2, "projector")

    def select(self, ctx: DropContext) -> Kept:
        """What :meth:`pick` takes of each picture."""
        tower = ctx.signals.tower(-2)
        weights = self.weights(tower.class_attention())
        states = ctx.signals.tower("projector").hidden().float()
        refuse_nan(self, weights + states.sum(-1))

        def pick(tokens: Tensor, count: int) -> Tensor:
            return self.pick(weights[tokens], states[tokens], count)

        return Kept(of_each(tower.by_crop(), len(ctx.positions), ctx.n_keep, pick))

    def weights(self, attention: Tensor) -> Tensor:
        """``[n]`` what the class token's attention ``[H, n]`` says of each token."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it weighs")

    def pick(self, weights: Tensor, states: Tensor, count: int) -> Tensor:
        """``[count]`` long: which of one picture's tokens stay, given ``[m]`` and ``[m, D]``."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it picks")
