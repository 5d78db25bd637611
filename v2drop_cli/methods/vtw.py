"""VTW, visual tokens withdrawal: from one layer on, text goes on alone (arXiv 2405.05803, §3)."""

from __future__ import annotations

from dataclasses import dataclass

from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.base import DropContext, Kept, Method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# The authors' K for LLaVA-1.5-7B, of 32 layers.
LAYERS = (15,)


@dataclass(frozen=True)
class VTW(Method):
    """Before layer K all vision tokens are dropped; before that, none. Text keeps its positions.

    K is the only thing that can be chosen, so a budget is met by the nearest K, and what it comes
    to is a multiple of one layer's tokens: of 576 tokens in 32 layers, a budget of 64 becomes 72
    (K = 4). At least one layer sees the picture.

    Deviation: the authors search K on 20 samples of a data set, the smallest from 5 on at which
    the answers' distribution hardly changes; here it is their result for LLaVA-1.5-7B, at the same
    depth of other models.

    Cost: none, nothing is scored.
    """

    name = "vtw"
    paper = "arXiv 2405.05803"

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """All before layer 15 of 32, or before the layer that is nearest to the budget.

        Raises:
            ScheduleError: the prompt is not known yet, or no layer is near the budget.
        """
        if budget is None:
            return Schedule(tuple(Drop(layer, count=0) for layer in shape.scaled(LAYERS)))
        lowest = max(1, shape.first_droppable)
        shape.solved(budget, [lowest])  # refuses what no drop from there on can meet
        layer = max(lowest, round(budget * shape.n_layers / max(1, shape.prompt)))
        if layer == shape.n_layers:  # the budget is all that there is
            return Schedule((Drop(layer - 1, keep=1.0),))
        return Schedule((Drop(layer, count=0),))

    def check(self, schedule: Schedule) -> None:
        """Refuse a schedule that keeps some of the tokens.

        Raises:
            ScheduleError: one of its drops does.
        """
        super().check(schedule)
        for drop in schedule.drops:
            if drop.count or drop.keep not in (None, 0.0, 1.0):
                raise _keeps_some(drop)

    def select(self, ctx: DropContext) -> Kept:
        """Only asked where some are to stay: there is nothing to choose where all or none do.

        Raises:
            ScheduleError: that is what the schedule says.
        """
        raise _keeps_some(Drop(ctx.layer, count=ctx.n_keep))


def _keeps_some(drop: Drop) -> ScheduleError:
    return ScheduleError(
        f"vtw keeps all vision tokens or none, and {drop} asks for some of them",
        hint=f"write {drop.layer}:0, or take a method that chooses tokens",
    )
