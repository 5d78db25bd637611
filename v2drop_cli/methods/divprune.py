"""DivPrune: keep the vision tokens that are farthest apart (arXiv 2503.02175, CVPR 2025)."""

from __future__ import annotations

from dataclasses import dataclass

from v2drop_cli.methods.base import HIDDEN, DropContext, Kept, refuse_nan
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.methods.diversity import cosines, farthest_first
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# The published share: 56 of LLaVA-1.5's 576 tokens.
RATIO = 0.098


@dataclass(frozen=True)
class DivPrune(BeforeDecoder):
    """The set whose smallest distance ``1 − cos(x_i, x_j)`` is largest, chosen greedily (§3.2).

    ``x`` are the projected tokens, newline tokens included. First comes the token farthest from
    its nearest neighbour, then whichever is farthest from all chosen ones; the set goes in in
    sequence order.

    Deviations: distances are in float32 whatever the model's dtype, and a chosen token cannot be
    chosen again, as the authors' loop does among duplicates. All pictures of a prompt compete for
    its places. The published count is ``int(round(0.098 n))``; before the prompt is known, as in
    ``dropping`` without a schedule, it is the share 0.098, which rounds down.

    Cost: n² cosines, and n comparisons for each token that stays.
    """

    name = "divprune"
    paper = "arXiv 2503.02175"
    needs = frozenset({HIDDEN})
    usual = Drop(0, keep=RATIO)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop at layer 0; without a budget its count is the share, rounded to the nearest."""
        if budget is None and shape.n_vision is not None:
            budget = RATIO * shape.n_vision
        return super().schedule(budget, shape)

    def select(self, ctx: DropContext) -> Kept:
        """The ``n_keep`` tokens that are farthest apart."""
        distances = cosines(ctx.signals.hidden()).neg_().add_(1)
        refuse_nan(self, distances[0])
        return Kept(farthest_first(distances, ctx.n_keep).sort().values)
