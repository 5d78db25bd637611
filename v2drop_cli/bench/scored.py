"""What a method thought of each token at each drop: a pass of its own, nothing of it is timed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.bench.arms import Arm
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.methods.base import DropContext, Method
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.generation import answering
from v2drop_cli.models.inputs import Inputs

Ranks = Mapping[int, Mapping[int, float]]
"""Layer of a drop → prompt position → rank of its score, from 0 for the lowest to 1."""


def ranks(loaded: LoadedModel, inputs: Inputs, arm: Arm) -> Ranks:
    """The scores of the first row's tokens at each drop of ``arm``.

    Ranks, for one score far above all others would make all others look alike. Empty for methods
    that do not score, and without drops where the schedule leaves no choice.
    """
    if arm.method is None or arm.schedule is None:
        return {}
    seen: dict[int, dict[int, float]] = {}
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    method = watched(get_method(arm.method), seen)
    with (
        answering(loaded, 1) as settings,
        dropping(loaded, arm.schedule, method=method, seed=arm.seed),
    ):
        loaded.model.generate(**tensors, generation_config=settings)
    return seen


def watched(method: Method, seen: dict[int, dict[int, float]]) -> Method:
    """The same method, which notes what it scores; rows come in order, and the first is noted."""
    kind: Any = type(method)

    def score(self: Any, ctx: DropContext) -> Tensor:
        scores: Tensor = kind.score(self, ctx)
        if ctx.layer not in seen:
            positions = ctx.positions.tolist()
            seen[ctx.layer] = dict(zip(positions, _ranked(scores), strict=True))
        return scores

    noting = copy.copy(method)
    object.__setattr__(noting, "__class__", type(kind.__name__, (kind,), {"score": score}))
    return noting


def _ranked(scores: Tensor) -> list[float]:
    """From 0 to 1; equal scores have one rank."""
    values, where = torch.unique(scores.float(), return_inverse=True)
    shares: list[float] = (where / max(1, len(values) - 1)).to(torch.float64).tolist()
    return shares
