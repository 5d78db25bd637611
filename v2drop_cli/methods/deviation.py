"""Deviation from the mean: this project's own control, a drop before the first layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from v2drop_cli.methods.base import HIDDEN, DropContext, Method, Positions
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule


@dataclass(frozen=True)
class Deviation(Method):
    """Distance ``‖x_i − mean_j x_j‖₂`` of the decoder's input from the row's mean, in float32.

    Ours, and not published: the honest control for ``v2drop-centred``. It looks at no layer of
    the decoder, only at how unusual a token is among the vision tokens of its row. Where it does as
    well as ``v2drop-centred``, that method has shown that outliers matter, and no more.

    By default a third of the tokens stay, V2Drop's default layer average ("our setting").
    Survivors are renumbered, as by all methods before the decoder.

    Cost: one mean and one distance for each vision token.
    """

    name = "deviation"
    paper = "this project's control, not published"
    needs = frozenset({HIDDEN})
    positions: Positions = field(default="renumbered", kw_only=True)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop, of the decoder's own input: the budget is its count."""
        if budget is None and shape.n_vision is None:
            return Schedule((Drop(0, keep=1 / 3),))
        count = (shape.n_vision or 0) / 3 if budget is None else budget
        return Schedule((Drop(0, count=round(count)),))

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how far each token is from the mean of all."""
        states = ctx.signals.hidden().float()
        distance: Tensor = torch.linalg.vector_norm(states - states.mean(dim=0), dim=-1)
        return distance
