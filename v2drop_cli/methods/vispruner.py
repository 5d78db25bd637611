"""VisPruner: half by attention, half by difference (arXiv 2412.01818; Theia-4869/VisPruner)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.before_decoder import ByPicture

_AT_ONCE = 8  # tokens that go in one round of thinning out, as in the authors' code


@dataclass(frozen=True)
class VisPruner(ByPicture):
    """``int(T · important)`` tokens by attention, then those that are least like the others.

    Of T tokens the first are those of largest attention of the class token in the tower's block
    -2, averaged over heads. The others, in descending order of attention, are thinned out until
    T are left in all. Each round deals them out to two halves by turns, and compares what the
    projector is given: of the first half those 8 go, or as many as are still too many, whose
    largest cosine with the second half is largest. The rest of the first half, in descending
    order of that cosine, and then the second half enter the next round.

    Each picture of a row is pruned by itself, with an equal part of the count; newline tokens of
    tiles go first of all. The authors' code fails where a half has one token more, and where
    fewer than 8 are left in the first half; here both go on.

    Cost: the tower's pass is made already; one row of attention of one of its blocks, and the
    cosines of a picture's tokens once.
    """

    name = "vispruner"
    paper = "arXiv 2412.01818"
    important: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.important <= 1:
            raise UsageError(
                f"important={self.important:g} of vispruner is no share", hint="0 to 1"
            )

    def weights(self, attention: Tensor) -> Tensor:
        """``[n]`` how important each token is."""
        return attention.mean(0)

    def pick(self, weights: Tensor, states: Tensor, count: int) -> Tensor:
        """The important tokens of a picture, and the different ones."""
        order = torch.argsort(weights, descending=True, stable=True)
        first = int(count * self.important)
        rest = _thinned(states[order[first:]], count - first)
        return torch.cat([order[:first], order[first:][rest]])


def _thinned(states: Tensor, count: int) -> Tensor:
    """``[count]`` long: which of ``states [m, D]`` are left once the most alike are gone."""
    left = torch.arange(len(states), device=states.device)
    if not count:
        return left[:0]
    unit = states / states.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    cosines = unit @ unit.T
    while len(left) > count:
        one, other = left[::2], left[1::2]
        alike = cosines[one[:, None], other].max(dim=1).values
        order = torch.argsort(alike, descending=True, stable=True)
        gone = min(_AT_ONCE, len(left) - count, len(one))
        left = torch.cat([one[order[gone:]], other])
    return left
