"""Sets that are chosen token by token: the farthest first, or the one that adds most volume.

Both start from all cosines of a row's tokens, ``[n, n]`` in float32, and take one step for each
token that stays. No step waits for the device: what was chosen stays a tensor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Of a token's own volume: float32 cannot tell less than this from nothing.
_SPANNED = 1e-6


def units(states: Tensor) -> Tensor:
    """``[m, D]`` float32, each row of ``states`` at length 1; zeros stay zeros."""
    return torch.nn.functional.normalize(states.float(), dim=-1)


def cosines(states: Tensor) -> Tensor:
    """``[n, n]`` float32, how alike any two of ``[n, D]`` states are; each is 1 with itself."""
    directions = units(states)
    # Set and not computed: rounding would decide where all tokens are equally good.
    return (directions @ directions.T).fill_diagonal_(1.0)


def farthest_first(distances: Tensor, k: int) -> Tensor:
    """``[k]`` long: tokens, each the farthest from those chosen before it.

    The first is the one whose nearest neighbour is farthest away. A chosen token is never chosen
    again, also where others are equal to it; of equally far ones the earlier token is chosen.

    Args:
        distances: ``[n, n]``. Its diagonal is overwritten.
        k: how many, 1 to n.

    >>> points = torch.tensor([0.0, 1.0, 5.0, 5.5])
    >>> farthest_first((points[:, None] - points).abs(), 3).tolist()
    [0, 3, 1]
    """
    distances.fill_diagonal_(math.inf)
    chosen = [distances.amin(dim=0).argmax(dim=0, keepdim=True)]
    nearest = distances.index_select(0, chosen[0])[0]
    for _ in range(k - 1):
        nearest.index_fill_(0, chosen[-1], -math.inf)
        chosen.append(nearest.argmax(dim=0, keepdim=True))
        nearest = torch.minimum(nearest, distances.index_select(0, chosen[-1])[0])
    return torch.cat(chosen)


def most_volume(kernel: Tensor, k: int) -> Tensor:
    """``[k]`` long: greedy maximum of the determinant of ``kernel``'s rows and columns.

    This is the MAP of a determinantal point process as Chen et al. compute it (arXiv 1709.05135):
    each step takes the token with the largest part that those chosen do not span. A token of which
    nothing is left adds no volume; such tokens come last, the earlier ones first, so that asking
    for more tokens than the rank of ``kernel`` stays a set of different tokens.

    Args:
        kernel: ``[n, n]`` symmetric, positive semi-definite.
        k: how many, 1 to n.

    >>> most_volume(torch.tensor([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 1.0]]), 2).tolist()
    [0, 2]
    """
    own = kernel.diagonal()
    left, barred = own.clone(), torch.zeros_like(own)
    rows = kernel.new_zeros(k, len(kernel))
    chosen: list[Tensor] = []
    for i in range(k):
        token = (left + barred).argmax(dim=0, keepdim=True)
        chosen.append(token)
        barred.index_fill_(0, token, -math.inf)
        spanned = rows[:i].index_select(1, token)[:, 0] @ rows[:i]
        part = left.index_select(0, token)
        unspanned = kernel.index_select(0, token)[0] - spanned
        rows[i] = torch.where(part > 0, unspanned * part.clamp_min(1e-30).rsqrt(), 0.0)
        left = left - rows[i].square()
        left = torch.where(left < _SPANNED * own, 0.0, left)
    return torch.cat(chosen)
