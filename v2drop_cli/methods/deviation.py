"""Deviation from the mean: this project's own control, a drop before the first layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.methods.base import HIDDEN, DropContext
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# Our setting: V2Drop's default layer average, 192 of 576 tokens.
SHARE = 1 / 3


@dataclass(frozen=True)
class Deviation(BeforeDecoder):
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
    usual = Drop(0, keep=SHARE)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop at layer 0; without a budget its count is the share, rounded to the nearest."""
        if budget is None and shape.n_vision is not None:
            budget = SHARE * shape.n_vision
        return super().schedule(budget, shape)

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how far each token is from the mean of all."""
        states = ctx.signals.hidden().float()
        distance: Tensor = torch.linalg.vector_norm(states - states.mean(dim=0), dim=-1)
        return distance
