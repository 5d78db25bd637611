"""QAPruner: CDPruner that also keeps tokens which quantisation would hurt (arXiv 2604.02816)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import GRIDS, HIDDEN, TEXT, DropContext
from v2drop_cli.methods.cdpruner import CDPruner, scaled

_EPSILON = 1e-8


@dataclass(frozen=True)
class QAPruner(CDPruner):
    """CDPruner's kernel with ``S = α·r + (1 − α)·Q`` in the place of the relevance ``r``.

    ``Q = ½ mm(E) + ½ mm(R)`` says how sensitive a projected token ``v`` is to quantisation. Its
    channels are rounded in groups of 128: ``v̂ = s · round(v / (s + 1e-8))`` with
    ``s = max|v| / 7`` for 4 bits, not clipped. ``E = ‖v − v̂‖₂``, ``R = max − min`` over channels,
    and ``mm(x) = (x − min + 1e-8) / (max − min + 1e-8)`` over the tokens of one picture.

    Written after the working copy royalneverwin/QVLM, whose authorship is inferred; the paper takes
    the highest S. ``alpha`` is its code's default (a script for 32 tokens has 0.3); the default
    count, 64, is CDPruner's ("our setting").

    ``text``, and what is not as published without it, are CDPruner's, and so are its deviations. A
    picture is a grid of tokens, so each crop of a tiled picture counts as one; where the grids are
    not known, all tokens of the row count as one picture. Channels that fill no whole group make a
    shorter one.

    Cost: CDPruner's, and one rounding of all channels. Finding the pictures makes the host wait.
    """

    name = "qapruner"
    paper = (
        "arXiv 2604.02816; as published with text=CLIP, else by the decoder's embeddings of the "
        "question"
    )
    needs = frozenset({HIDDEN, TEXT, GRIDS})
    alpha: float = 0.7
    bits: int = 4
    group: int = 128

    def __post_init__(self) -> None:
        """Refuse values that the formula has no meaning for."""
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise UsageError(
                f"alpha={self.alpha:g} of qapruner is outside 0 to 1",
                hint="1 is relevance alone, 0 sensitivity to quantisation alone",
            )
        if not 2 <= self.bits <= 16:
            raise UsageError(
                f"bits={self.bits} of qapruner is outside 2 to 16", hint="for example bits=4"
            )
        if self.group < 1:
            raise UsageError(
                f"group={self.group} of qapruner: a group has at least one channel",
                hint="for example group=128",
            )

    def weights(self, ctx: DropContext, relevance: Tensor) -> Tensor:
        """``[n]`` the score S."""
        states = ctx.signals.hidden().float()
        pictures = Pictures.seen_by(ctx)
        error, spread = self.error(states), states.amax(dim=-1) - states.amin(dim=-1)
        sensitivity = 0.5 * pictures.scaled(error) + 0.5 * pictures.scaled(spread)
        return self.alpha * scaled(relevance) + (1 - self.alpha) * sensitivity

    def error(self, states: Tensor) -> Tensor:
        """``[n]`` how far rounding to ``bits`` moves each of ``[n, D]`` states."""
        group = min(self.group, states.shape[-1])
        # Zeros round to themselves, so they can fill up the last group.
        missing = -states.shape[-1] % group
        padded = torch.nn.functional.pad(states, (0, missing))
        groups = padded.reshape(len(states), -1, group)
        step = groups.abs().amax(dim=-1, keepdim=True) / (2 ** (self.bits - 1) - 1)
        rounded = step * torch.round(groups / (step + _EPSILON))
        moved: Tensor = torch.linalg.vector_norm((groups - rounded).flatten(-2), dim=-1)
        return moved


@dataclass(frozen=True, slots=True)
class Pictures:
    """Which picture each alive token is of.

    Attributes:
        of: ``[n]`` long, ascending, the number of the token's picture.
        count: pictures of the row.
    """

    of: Tensor
    count: int

    @classmethod
    def seen_by(cls, ctx: DropContext) -> Pictures:
        """A picture a grid; a single token that stands for no pixels belongs to the one before."""
        ends: list[int] = []
        for grid in ctx.signals.grids() or ():
            size = grid.t * grid.h * grid.w
            if ends and size == 1:
                ends[-1] += 1
            else:
                ends.append(size + (ends[-1] if ends else 0))
        order = ctx.signals.order()
        bounds = torch.tensor(ends[:-1], dtype=torch.long).to(order.device, non_blocking=True)
        return cls(torch.bucketize(order, bounds, right=True), max(1, len(ends)))

    def scaled(self, values: Tensor) -> Tensor:
        """``[n]`` each value from just above 0, its picture's lowest, to 1, its highest."""
        empty = values.new_zeros(self.count)
        low = empty.scatter_reduce(0, self.of, values, "amin", include_self=False)[self.of]
        high = empty.scatter_reduce(0, self.of, values, "amax", include_self=False)[self.of]
        return (values - low + _EPSILON) / (high - low + _EPSILON)
