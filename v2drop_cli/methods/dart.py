"""DART: a few pivots choose the tokens that are least like them (arXiv 2502.11494, §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import (
    HIDDEN,
    KEYS,
    NORMED,
    PREVIOUS_HIDDEN,
    TEXT,
    DropContext,
    Kept,
    Method,
)
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.tensors import top_k, true_columns

# The authors' K of 32 layers, and what their 192 of 576 tokens come to: 4 + 8 · ⌊192 / 8⌋ = 196.
LAYERS = (2,)
KEEP = 0.341


@dataclass(frozen=True)
class Dart(Method):
    """Pivots are tokens of longest keys; in turn, each takes the tokens that are least like it.

    Pivots are ``image_pivots`` vision tokens, and ``text_pivots`` tokens of the text after the
    last picture: those whose keys in layer K−1 are longest, by the L1 norm over all heads, rotated.
    Each takes the vision tokens not yet taken whose states are least similar to its own. Similarity
    is the cosine of what enters layer K, put through the decoder's last norm. What stays are the
    vision pivots and all that was taken; text pivots only choose.

    Of ``n_keep`` tokens, those that are no pivots are shared out evenly among the pivots, and the
    first ones take one more each where that leaves a remainder. A text that is shorter than
    ``text_pivots`` has fewer pivots, none if there is none; the row's last token counts as text
    even where it belongs to a picture. An ``n_keep`` below ``image_pivots`` keeps just the
    ``n_keep`` vision tokens with the longest keys.

    Deviations: the authors' turns go in the order of a Python set of positions, which is no order
    that they chose; ours is ascending, vision before text. They keep 4 + 8 · ⌊N / 8⌋ for a budget
    of N, and say N; here the schedule says what is kept. All images of a row compete.

    Cost: the keys of layer K−1, and one cosine for each pair of a pivot and a token.
    """

    name = "dart"
    paper = "arXiv 2502.11494"
    needs: ClassVar[frozenset[str]] = frozenset({HIDDEN, NORMED, KEYS, PREVIOUS_HIDDEN, TEXT})
    image_pivots: int = 4
    text_pivots: int = 4

    def __post_init__(self) -> None:
        for key, least in (("image_pivots", 1), ("text_pivots", 0)):
            value = getattr(self, key)
            if value < least:
                raise UsageError(
                    f"{key}={value} of dart is too few",
                    hint=f"give {least} or more, for example dart:{key}=4",
                )

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """Some 34 % of the tokens before layer 2 of 32; a budget changes how many, not where."""
        layers = shape.scaled(LAYERS)
        if budget is not None:
            return shape.solved(budget, layers)
        return Schedule(tuple(Drop(layer, keep=KEEP) for layer in layers))

    def select(self, ctx: DropContext) -> Kept:
        """Turn by turn; counts are known on the host, so nothing waits for the device."""
        signals, n, layer = ctx.signals, len(ctx.positions), ctx.layer - 1
        text = signals.text_after()
        keys = signals.keys(layer, torch.cat([ctx.positions, text]))
        lengths = keys.float().abs().sum(dim=(0, 2))
        pivots = top_k(lengths[:n], min(self.image_pivots, ctx.n_keep))
        asking = top_k(lengths[n:], min(self.text_pivots, len(text)))
        states = _directions(signals.normed(torch.cat([ctx.positions, text[asking]])))
        turns = torch.cat([states[pivots], states[n:]])
        taken = torch.zeros(n, dtype=torch.bool, device=states.device)
        taken.index_fill_(0, pivots, True)
        for pivot, share in zip(turns, shares(ctx.n_keep - len(pivots), len(turns)), strict=True):
            # Multiplied and summed, not a matrix product: equal tokens get equal numbers.
            similar = (states[:n] * pivot).sum(dim=-1).masked_fill(taken, torch.inf)
            taken.index_fill_(0, top_k(-similar, share), True)
        return Kept(true_columns(taken, ctx.n_keep))


def shares(tokens: int, pivots: int) -> list[int]:
    """How many tokens each pivot takes.

    >>> shares(10, 4)
    [3, 3, 2, 2]
    """
    each, more = divmod(tokens, pivots)
    return [each + (i < more) for i in range(pivots)]


def _directions(states: Tensor) -> Tensor:
    """``states [m, D]`` at length 1, in float32; zero stays zero."""
    return torch.nn.functional.normalize(states.float(), dim=-1)
