"""Uniform selection: an evenly spaced subset of the alive tokens in raster order."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from v2drop_cli.methods.base import DropContext, Kept, Method


@dataclass(frozen=True)
class Uniform(Method):
    """Token ``⌊(i + ½) n / k⌋`` for i = 0 … k−1: the middles of k equal stretches."""

    name = "uniform"
    paper = "baseline"

    def select(self, ctx: DropContext) -> Kept:
        """The middles of ``n_keep`` equal stretches of the alive tokens."""
        n, k = len(ctx.positions), ctx.n_keep
        steps = torch.arange(k, device=ctx.positions.device)
        return Kept((2 * steps + 1) * n // (2 * k))
