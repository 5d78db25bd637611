"""PyramidDrop: drop by stages, by the coming layer's attention (arXiv 2410.17247, §3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from v2drop_cli.methods.base import (
    ATTENTION,
    RENUMBERED,
    TEXT,
    DropContext,
    Method,
    Positions,
)
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# The authors' layers, of 32, and the share of the tokens still alive that stays at each.
LAYERS = (8, 16, 24)
KEEP = 0.5


@dataclass(frozen=True)
class PyramidDrop(Method):
    """``s_i``: attention of the prompt's last token to token i, mean over heads, in layer L.

    L is the layer whose input is shortened: its own norm and query and key projections are
    applied to what enters it, so each drop is scored before layer L runs. The softmax runs over
    all that the last token attends to, text included. Survivors are renumbered, as if the
    prompt had been so short from the start.

    Half of what is alive stays at each drop. These are the authors' counts, ``int(n · r)`` of the
    original n tokens with r = 0.5, 0.25 and 0.125, because cutting off halves twice or three
    times is cutting off the quarter or the eighth.

    Deviations: the authors' code prunes only the first image of a prompt; here all images of a
    row compete for its places. Schedules for budgets are not published; ours are "our setting".

    Cost: one row of attention for each drop, that is the keys of layer L and one query.
    """

    name = "pyramiddrop"
    paper = "arXiv 2410.17247"
    needs: ClassVar[frozenset[str]] = frozenset({ATTENTION, TEXT})
    positions: Positions = field(default=RENUMBERED, kw_only=True)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """Half of what is alive before layers 8, 16 and 24 of 32; for a budget, other counts."""
        layers = shape.scaled(LAYERS)
        if budget is not None:
            return shape.solved(budget, layers)
        return Schedule(tuple(Drop(layer, keep=KEEP) for layer in layers))

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how much the last token would attend to each one in the coming layer."""
        signals = ctx.signals
        attention = signals.attention(signals.text()[-1:], ctx.layer)
        return attention.mean(dim=0)[0]
