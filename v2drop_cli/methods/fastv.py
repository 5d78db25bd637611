"""FastV: keep the vision tokens that the last token attends to (arXiv 2403.06764, §4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from v2drop_cli.methods.base import ATTENTION, PREVIOUS_HIDDEN, TEXT, DropContext, Method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# The paper's K of 32 layers, and the share that its R = 50 % leaves.
LAYERS = (2,)
KEEP = 0.5


@dataclass(frozen=True)
class FastV(Method):
    """``s_i``: attention of the prompt's last token to token i in layer K−1, mean over heads.

    The softmax runs over all that the last token attends to, text included. Tokens are dropped
    once, before layer K, and survivors keep their original positions.

    Deviations: the paper's text averages over the rows of all tokens, the authors' code takes the
    last row, and so do we. The authors' code only masks what it drops, and chooses anew for every
    new token; here the choice of the prefill stays. All images of a row compete.

    Cost: one row of attention of one layer, that is the keys of layer K−1 and one query.
    """

    name = "fastv"
    paper = "arXiv 2403.06764"
    needs: ClassVar[frozenset[str]] = frozenset({ATTENTION, PREVIOUS_HIDDEN, TEXT})

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """Half of the tokens before layer 2 of 32; a budget changes how many, not where."""
        layers = shape.scaled(LAYERS)
        if budget is not None:
            return shape.solved(budget, layers)
        return Schedule(tuple(Drop(layer, keep=KEEP) for layer in layers))

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how much the last token attended to each one in the layer before."""
        signals = ctx.signals
        attention = signals.attention(signals.text()[-1:], ctx.layer - 1)
        return attention.mean(dim=0)[0]
