"""Random selection: the honest bar. All of the dropping and none of the scoring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.methods.base import DropContext, Method


@dataclass(frozen=True)
class Random(Method):
    """A seeded random subset at each drop, the same on every device."""

    name = "random"
    paper = "baseline (e.g. UniPruneBench)"

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` uniform numbers from a generator of their own."""
        # Drawn on the CPU: one seed then means one subset, whatever runs the model.
        generator = torch.Generator().manual_seed(ctx.seed * 1_000_003 + ctx.layer)
        drawn = torch.rand(len(ctx.positions), generator=generator)
        return drawn.to(ctx.positions.device, non_blocking=True)
