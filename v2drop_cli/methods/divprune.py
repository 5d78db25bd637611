"""DivPrune: keep the vision tokens that are farthest apart (arXiv 2503.02175, CVPR 2025)."""

from __future__ import annotations

from dataclasses import dataclass, field

from v2drop_cli.methods.base import HIDDEN, DropContext, Kept, Method, Positions, refuse_nan
from v2drop_cli.methods.diversity import cosines, farthest_first
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# The published share: 56 of LLaVA-1.5's 576 tokens.
RATIO = 0.098


@dataclass(frozen=True)
class DivPrune(Method):
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
    positions: Positions = field(default="renumbered", kw_only=True)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop, of the decoder's own input: the budget is its count."""
        if budget is not None:
            return Schedule((Drop(0, count=round(budget)),))
        if shape.n_vision is None:
            return Schedule((Drop(0, keep=RATIO),))
        return Schedule((Drop(0, count=round(RATIO * shape.n_vision)),))

    def select(self, ctx: DropContext) -> Kept:
        """The ``n_keep`` tokens that are farthest apart."""
        distances = cosines(ctx.signals.hidden()).neg_().add_(1)
        refuse_nan(self, distances[0])
        return Kept(farthest_first(distances, ctx.n_keep).sort().values)
