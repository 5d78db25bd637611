"""SCOPE: tokens that cover what the others leave out (arXiv 2510.24214; code kinredon/SCOPE)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.before_decoder import ByPicture


@dataclass(frozen=True)
class Scope(ByPicture):
    """Greedily the token of largest ``a_j^alpha · Σ_i max(0, cos_ij − cover_i)``.

    ``a`` is the class token's attention in the tower's block -2, summed over heads; ``cos`` are
    cosines of what the projector is given; ``cover_i`` is the largest cosine of token i with a
    token that was taken, from 0 on. Ties go to the earlier token.

    Each picture of a row is pruned by itself, with an equal part of the count, as in the authors'
    code. They round the part down; here the first pictures get what is left, and newline tokens
    go first of all.

    Cost: the tower's pass is made already; one row of attention of one of its blocks, n² cosines
    of a picture, and all of them looked at again for every token that is taken.
    """

    name = "scope"
    paper = "arXiv 2510.24214"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an exponent under which less attention would count for more."""
        if self.alpha < 0:
            raise UsageError(f"alpha={self.alpha:g} of scope is negative", hint="0 and more")

    def weights(self, attention: Tensor) -> Tensor:
        """``[n]`` the factor of what a token covers."""
        return attention.sum(0) ** self.alpha

    def pick(self, weights: Tensor, states: Tensor, count: int) -> Tensor:
        """What covers a picture best."""
        return _covering(states, weights, count)


def _covering(states: Tensor, weights: Tensor, count: int) -> Tensor:
    """``[count]`` long: which of ``states [m, D]`` are taken, in the order of taking."""
    unit = states / states.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    cosines = unit @ unit.T
    cover, work = cosines.new_zeros(len(cosines), 1), torch.empty_like(cosines)
    barred, taken = torch.zeros_like(weights), []
    for _ in range(count):
        gained = torch.sub(cosines, cover, out=work).clamp_min_(0).sum(0)
        # As a tensor of one: an index of no dimension would be read by the host.
        best = (gained * weights + barred).argmax(0, keepdim=True)
        barred.index_fill_(0, best, float("-inf"))
        cover = torch.maximum(cover, cosines.index_select(1, best))
        taken.append(best)
    return torch.cat(taken)
