"""Several hidden states a token, which all else here knows as one.

Gemma 3n hands on four, ``[4, B, W, D]``, and GLM-5-Next some streams, ``[B, W, S, D]``. What enters
a layer of Gemma 3n is seen the other way round, ``[B, W, 4, D]``, which copies nothing. Where
tokens are scored, at a drop and in the layer before it, a token's states are one long state,
``[B, W, S D]``: how far it moved is how far they moved together.
"""

from __future__ import annotations

from torch import Tensor

_SEVERAL = 4  # dimensions, where a token has several states


def by_token(hidden: Tensor, *, scored: bool, states_first: bool = False) -> Tensor:
    """What enters a layer, token by token.

    Args:
        hidden: ``[B, W, D]``, which is returned as it is, or ``[B, W, S, D]``.
        scored: whether a method looks at it: ``[B, W, S D]`` then.
        states_first: whether it is ``[S, B, W, D]`` instead.
    """
    if hidden.dim() != _SEVERAL:
        return hidden
    turned = hidden.permute(1, 2, 0, 3) if states_first else hidden
    return turned.flatten(2) if scored else turned


def as_entered(tokens: Tensor, hidden: Tensor, *, states_first: bool = False) -> Tensor:
    """``tokens``, as :func:`by_token` gave them or fewer, in the form of ``hidden``."""
    if hidden.dim() != _SEVERAL:
        return tokens
    states = hidden.shape[0 if states_first else 2]
    apart = tokens.reshape(*tokens.shape[:2], states, hidden.shape[-1])
    return apart.permute(2, 0, 1, 3).contiguous() if states_first else apart
