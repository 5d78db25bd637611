"""HoloV: tokens for every part of the picture (arXiv 2510.02912; code obananas/HoloV)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import (
    CLASS_TOKEN,
    EMBEDDINGS,
    TOWER,
    DropContext,
    Kept,
    refuse_nan,
)
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.methods.crops import best_of_groups

_SMALL = 1e-6  # as in the authors' code


@dataclass(frozen=True)
class HoloV(BeforeDecoder):
    """Raster order is cut into ``runs`` equal runs; each keeps its best by attention.

    With ``a`` the class token's attention in the tower's block -2, averaged over heads, and
    ``var`` the variance of a token's cosines with its run's projected tokens (its own counts as
    0), a token scores

        1000·a + beta · var · mean(1000·a) / mean(var)        means over the run

    A run's share of the count is its mean score's share, rounded down; what is left goes to the
    runs of largest share, one token each. Inside a run the tokens of largest ``a`` stay, as in
    the authors' code; their paper takes the largest scores.

    Deviations. The code fills a run that is given more tokens than it has with zero rows; here
    the surplus goes on to the next runs, as the paper says. Tokens stay in sequence order, where
    the code puts each run's in order of attention. A run of one token has no variance, and scores
    1000·a; in the code it scores a. Runs go over all pictures of a row, without newline tokens,
    as in the code.

    Cost: the tower's pass is made already; one row of attention of one of its blocks, and the
    cosines inside each run, n²/runs products.
    """

    name = "holov"
    paper = "arXiv 2510.02912"
    needs: ClassVar[frozenset[str]] = frozenset({TOWER, CLASS_TOKEN, EMBEDDINGS})
    tower_layers = (-2,)
    runs: int = 16
    beta: float = 0.09

    def __post_init__(self) -> None:
        """Refuse what cuts no picture."""
        if self.runs < 1:
            raise UsageError(f"runs={self.runs} of holov", hint="1 and more")

    def select(self, ctx: DropContext) -> Kept:
        """The best of each run."""
        tower = ctx.signals.tower(-2)
        attention = tower.class_attention().mean(0)
        own = torch.cat(tower.by_crop()).sort().values
        states = ctx.signals.embeddings()[ctx.positions][own].float()
        refuse_nan(self, attention[own] + states.sum(-1))
        shares, runs = self._shares(attention[own], states)
        # Newline tokens are a last group without a quota.
        group = torch.full_like(ctx.positions, len(shares))
        group[own] = runs
        shares = torch.cat([shares, shares.new_full((1,), -1)])
        quota = (shares * ctx.n_keep).floor().clamp(min=0).long()
        return Kept(best_of_groups(attention, group, quota, shares, ctx.n_keep))

    def _shares(self, attention: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """``[r]`` each run's share of the count, and ``[m]`` long the run of each token."""
        count, runs = len(attention), min(self.runs, len(attention))
        size, longer = divmod(count, runs)
        cut = longer * (size + 1)  # the first runs have one token more
        parts = []
        for part, length in ((slice(cut), size + 1), (slice(cut, None), size)):
            if length and len(attention[part]):
                scaled = attention[part].view(-1, length) * 1000
                spread = _spread(states[part].view(-1, length, states.shape[-1]))
                factor = scaled.mean(1) / (spread.mean(1) + _SMALL)
                parts.append((scaled + self.beta * spread * factor[:, None]).mean(1))
        scores = torch.cat(parts)
        places = torch.arange(count, device=attention.device)
        run = torch.where(
            places < cut, places // (size + 1), longer + (places - cut) // max(size, 1)
        )
        return scores / (scores.sum() + _SMALL), run


def _spread(states: Tensor) -> Tensor:
    """``[r, s]`` the variance of each token's cosines with those of its run ``[r, s, D]``."""
    size = states.shape[1]
    unit = states / (states.norm(dim=-1, keepdim=True) + _SMALL)
    cosines = unit @ unit.transpose(1, 2)
    cosines = cosines * (1 - torch.eye(size, device=states.device))
    others = max(size - 1, 1)
    mean = cosines.sum(-1, keepdim=True) / others
    spread: Tensor = (cosines - mean).square().sum(-1) / others
    return spread
