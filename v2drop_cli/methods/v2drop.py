"""V2Drop: keep the vision tokens that the previous layer moved most (arXiv 2509.01552, §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.methods.base import HIDDEN, PREVIOUS_HIDDEN, DropContext, Method


@dataclass(frozen=True)
class V2Drop(Method):
    """Variation ``‖h_L − h_{L−1}‖₂``, computed in float32 whatever the model's dtype.

    ``h_L`` is the hidden state entering layer L, so the difference is layer L−1's residual
    update. Text tokens always stay, survivors keep their order and original positions.
    The authors' code takes the same norm in the model's dtype.
    """

    name = "v2drop"
    paper = "arXiv 2509.01552"
    needs: ClassVar[frozenset[str]] = frozenset({HIDDEN, PREVIOUS_HIDDEN})
    order: ClassVar[float] = 2

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how far layer L-1 moved each token."""
        return ctx.signals.measured(self.distance)

    def distance(self, hidden: Tensor, previous: Tensor) -> Tensor:
        """``[m]`` of ``[m, D]`` twice. One temporary of that size, in float32, and no more."""
        moved = previous.to(torch.float32, copy=True).sub_(hidden)
        distance: Tensor = torch.linalg.vector_norm(moved, ord=self.order, dim=-1)
        return distance


@dataclass(frozen=True)
class V2DropL1(V2Drop):
    """The paper's L1 variant: ``‖h_L − h_{L−1}‖₁``."""

    name = "v2drop-l1"
    order = 1


@dataclass(frozen=True)
class V2DropCosine(V2Drop):
    """The paper's angular variant: ``1 − cos(h_L, h_{L−1})``."""

    name = "v2drop-cosine"

    def distance(self, hidden: Tensor, previous: Tensor) -> Tensor:
        """``[m]`` by how much layer L-1 turned each of ``[m, D]`` tokens; one temporary."""
        work = hidden.to(torch.float32, copy=True)
        lengths = torch.linalg.vector_norm(work, dim=-1)
        dots = work.mul_(previous).sum(dim=-1)
        lengths *= torch.linalg.vector_norm(work.copy_(previous), dim=-1)
        turned: Tensor = 1 - dots / lengths.clamp_min(torch.finfo(torch.float32).tiny)
        return turned
