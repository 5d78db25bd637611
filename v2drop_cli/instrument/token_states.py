"""Several hidden states a token: Gemma 3n hands its layers four side by side, ``[4, B, W, D]``.

All else here knows one state a token, ``[B, W, ...]``. So what enters such a layer is seen the
other way round, ``[B, W, 4, D]``, which copies nothing. Where tokens are scored, at a drop and in
the layer before it, the four are one long state, ``[B, W, 4 D]``: how far a token moved is how far
its four states moved together.
"""

from __future__ import annotations

from torch import Tensor

_DIMENSIONS = 4


def by_token(hidden: Tensor, scored: bool) -> Tensor:
    """What enters a layer, token by token.

    Args:
        hidden: ``[B, W, D]``, which is returned as it is, or ``[S, B, W, D]``.
        scored: whether a method looks at it: ``[B, W, S D]`` then, else ``[B, W, S, D]``.
    """
    if hidden.dim() != _DIMENSIONS:
        return hidden
    turned = hidden.permute(1, 2, 0, 3)
    return turned.flatten(2) if scored else turned


def as_entered(tokens: Tensor, hidden: Tensor) -> Tensor:
    """``tokens``, as :func:`by_token` gave them or fewer, in the form of ``hidden``."""
    if hidden.dim() != _DIMENSIONS:
        return tokens
    if tokens.dim() < _DIMENSIONS:
        tokens = tokens.reshape(*tokens.shape[:2], len(hidden), hidden.shape[-1])
    return tokens.permute(2, 0, 1, 3).contiguous()
