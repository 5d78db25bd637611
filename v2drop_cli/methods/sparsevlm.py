"""SparseVLM: drop what the prompt's telling words do not look at, and merge some of it.

arXiv 2410.04417, §3.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import (
    ATTENTION,
    EMBEDDINGS,
    HIDDEN,
    PREVIOUS_HIDDEN,
    RENUMBERED,
    TEXT,
    DropContext,
    Kept,
    Method,
    Positions,
)
from v2drop_cli.methods.density_peaks import density_peaks
from v2drop_cli.methods.shape import Shape
from v2drop_cli.methods.signal_protocols import Signals
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.tensors import top_k, true_columns

# The authors' layers 2, 6 and 15 run in full, so the next ones are the first with shorter inputs.
LAYERS = (3, 7, 16)
# Shares of the tokens alive: of 576, the authors' 300, 200 and 110 of the budget "192".
KEEPS = (0.521, 0.6475, 0.5394)
# Of this many recycled tokens, one cluster is made.
_PER_CLUSTER = 10


@dataclass(frozen=True)
class SparseVLM(Method):
    """``s_i``: attention of the raters to token i in layer L−1, mean over heads and raters.

    *Raters* are the words that the picture bears on. With ``v`` the picture's tokens and ``t`` the
    text after it, both as the decoder is given them (layer 0's input): ``r = softmax over t of
    v·t``, mean over v; a word rates where its r is above the mean of r. They are found once, at
    the first drop, for all drops of a forward.

    At a drop, the schedule's count of tokens stays, and of n alive tokens at most n − 1.
    *Recycling* then takes the best ``int(recycle · n) + 1`` of the n that were dropped, makes
    ``int(m / 10) + 1`` clusters of these m (density peaks), and appends the mean of each cluster
    after the kept tokens, the best centre first. Of equally good centres (of one cluster, all are)
    the one of larger s is better. Merged tokens come on top of the schedule's count, and later
    drops score them like others. In the trace, a merged token has the position of its cluster's
    centre. ``merge=false`` only drops, and keeps exactly the schedule's count.

    Survivors are renumbered. Without a schedule: the authors' counts for 192 tokens as shares.
    Their counts include no merged token, so a budget here comes to fewer kept ones than theirs.

    Deviations, all "our setting": the authors add noise of 1e-6 to densities, and we add none, so
    of two clusters both centres may be one pair of nearest tokens; where no word is above the mean
    (one word, say), all rate. All images of a row compete, the text after the last one rates, and
    merged tokens follow those of their centre's image. The paper finds the number of tokens by the
    rank of the attention, while its code has the constants that we use.

    Cost: the attention rows of all raters in one layer a drop, one product of the picture's and
    the text's embeddings, and the distances of the recycled tokens. Finding the raters waits for
    the device, once a prompt.
    """

    name = "sparsevlm"
    paper = "arXiv 2410.04417"
    needs: ClassVar[frozenset[str]] = frozenset(
        {HIDDEN, PREVIOUS_HIDDEN, EMBEDDINGS, TEXT, ATTENTION}
    )
    chooses_count: ClassVar[bool] = True
    merge: bool = True
    recycle: float = 0.3
    positions: Positions = field(default=RENUMBERED, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.recycle <= 1:
            raise UsageError(
                f"recycle={self.recycle:g} of sparsevlm is no share",
                hint="give 0 to 1: the share of the dropped tokens that is merged",
            )

    def select(self, ctx: DropContext) -> Kept:
        """The best by attention, and the merged ones behind them."""
        alive, score = len(ctx.positions), self.score(ctx)
        if not self.merge:
            return Kept(top_k(score, ctx.n_keep))
        n_keep = min(ctx.n_keep, alive - 1)
        kept = top_k(score, n_keep)
        dropped = torch.ones_like(ctx.positions, dtype=torch.bool).index_fill_(0, kept, False)
        gone = true_columns(dropped, alive - n_keep)
        recycled, clusters = self._recycled(alive - n_keep)
        # By attention, not by place: so ties among clusters fall as they do in the authors' code.
        ranked = torch.argsort(score[gone], descending=True, stable=True)
        pool = gone[ranked[:recycled]]
        hidden = ctx.signals.hidden()
        states = hidden[pool].float()
        found = density_peaks(states, clusters)
        index = torch.cat([kept, pool[found.centres]])
        merged = torch.cat([hidden[kept].float(), found.means(states)])
        # No token passes text: merged ones go to the end of the picture of their centre.
        order = torch.searchsorted(ctx.signals.text(), ctx.positions[index]).argsort(stable=True)
        entries = order.argsort()[n_keep + found.member]
        sources = torch.full_like(ctx.positions, -1).index_copy_(0, pool, entries)
        return Kept(index[order], merged[order], sources, in_order=True)

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how much the raters attended to each token in the layer before."""
        signals = ctx.signals
        rows = signals.once("raters", lambda: raters(signals, ctx.positions))
        return signals.attention(rows, ctx.layer - 1).mean(dim=(0, 1))

    def _recycled(self, dropped: int) -> tuple[int, int]:
        """Of so many dropped tokens: how many are recycled, and the clusters that they make.

        >>> SparseVLM()._recycled(276)
        (83, 9)
        """
        recycled = min(dropped, int(self.recycle * dropped) + 1)
        return recycled, recycled // _PER_CLUSTER + 1

    def left(self, alive: int, count: int) -> int:
        """Tokens after a drop of ``alive`` that keeps ``count``, merged ones included.

        >>> SparseVLM().left(576, 300), SparseVLM().left(309, 200), SparseVLM().left(204, 110)
        (309, 204, 113)
        """
        if not self.merge or not alive:
            return min(alive, count)
        kept = min(count, alive - 1)
        return kept + self._recycled(alive - kept)[1]

    # Schedules -------------------------------------------------------------------------------

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """The authors' layers, whatever the depth; in a decoder that lacks one, relative depths.

        A budget counts the merged tokens: each drop leaves the same share, of which it keeps as
        many as there is room for beside them ("our setting").

        Raises:
            ScheduleError: no drops at these layers meet the budget.
        """
        layers = LAYERS if LAYERS[-1] < shape.depth else tuple(shape.scaled(LAYERS))
        if budget is None:
            shares = zip(layers, KEEPS, strict=False)
            return Schedule(tuple(Drop(layer, keep=keep) for layer, keep in shares))
        solved, alive, drops = shape.solved(budget, layers), shape.prompt, []
        for drop in solved.drops:
            room = drop.kept(alive)
            fitting = (count for count in range(room, 0, -1) if self.left(alive, count) <= room)
            drops.append(Drop(drop.layer, count=next(fitting, 0)))
            alive = self.left(alive, drops[-1].kept(alive))
        return replace(solved, drops=tuple(drops))


def raters(signals: Signals, vision: Tensor) -> Tensor:
    """``[r]`` long: positions of the words after the picture that the picture bears on.

    Args:
        signals: of one row.
        vision: ``[n]`` long, positions of all its vision tokens.
    """
    text, states = signals.text_after(), signals.embeddings()
    products = states[vision].float() @ states[text].float().T
    relevance = products.softmax(dim=1).mean(dim=0)
    chosen = text[relevance > relevance.mean()]
    return chosen if len(chosen) else text
