"""V2Drop without what all tokens share: this project's own experiment, not the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.methods.base import HIDDEN, PREVIOUS_HIDDEN, DropContext, Method


@dataclass(frozen=True)
class V2DropCentred(Method):
    """Variation ``‖Δ_i − mean_j Δ_j‖₂`` with ``Δ = h_L − h_{L−1}``: experimental.

    Ours, not the paper's, and not published; the paper's is ``v2drop``. A layer may add one large
    update that nearly all background tokens share. The plain norm then ranks background first.
    Here the mean update of the row's alive vision tokens is taken out before the norm. Every row
    of a batch has a mean of its own.

    Layer convention as V2Drop's: ``h_L`` enters layer L, so Δ is the update of layer L-1. All is
    computed in float32. Text tokens always stay, survivors keep their order and positions.

    Least cost: two reads of the tokens' states, and two more passes over their difference than
    V2Drop makes, one for the mean and one to take it out. No matrix product, no wait for the
    device. docs/variants.md has what was measured.
    """

    name = "v2drop-centred"
    paper = "this project's experiment, not published"
    needs: ClassVar[frozenset[str]] = frozenset({HIDDEN, PREVIOUS_HIDDEN})

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` how far each token's update is from the mean update."""
        moved = ctx.signals.previous_hidden().to(torch.float32, copy=True)
        moved.sub_(ctx.signals.hidden())
        moved -= moved.mean(dim=0)
        distance: Tensor = torch.linalg.vector_norm(moved, dim=-1)
        return distance
