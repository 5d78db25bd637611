"""How the vision tokens moved before each drop: a pass of its own, of which nothing is timed.

V2Drop ranks a token by how far the layer before moved it. Whether that says something of the token
is a question to the model: a layer that adds one vector to all tokens moves all of them far, and
the norm of the sum then ranks tokens by their part in what they share. This pass measures how much
is shared, and how the scores spread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.bench.arms import Arm
from v2drop_cli.errors import UsageError
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.methods.base import HIDDEN, PREVIOUS_HIDDEN, DropContext, Kept, Method
from v2drop_cli.methods.registry import ALL, get_method, known_methods
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.generation import answering
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.records import Movement

MOVEMENT = frozenset({HIDDEN, PREVIOUS_HIDDEN})


def is_explained(method: Method) -> bool:
    """Whether ``method`` looks at nothing but how tokens moved; one that is composed does more."""
    return method.needs == MOVEMENT and len(method.parts) == 1


def check_explained(methods: Iterable[str]) -> None:
    """Refuse to explain what none of the methods does.

    Raises:
        UsageError: none of them scores by movement.
    """
    names = [name for text in methods for name in (known_methods() if text == ALL else [text])]
    if not any(map(is_explained, map(get_method, names))):
        raise UsageError(
            "--explain is about methods that rank tokens by how far they moved, and none is asked "
            "for",
            hint="add --method v2drop by itself; the parts of FIRST+SECOND are not explained",
        )


def movements(loaded: LoadedModel, inputs: Inputs, arm: Arm) -> tuple[Movement, ...]:
    """How the first row's tokens moved before each drop of ``arm``; empty for other methods."""
    if arm.method is None or arm.schedule is None:
        return ()
    method = get_method(arm.method)
    if not is_explained(method):
        return ()
    watched = Watched(method, positions=method.positions)
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    with (
        answering(loaded, 1) as settings,
        dropping(loaded, arm.schedule, method=watched, seed=arm.seed),
    ):
        loaded.model.generate(**tensors, generation_config=settings)
    return tuple(watched.seen.values())


@dataclass(frozen=True)
class Watched(Method):
    """Drops what another method drops, and notes how the tokens moved that it chose among.

    It is asked at each drop, also where the schedule leaves no choice: with all tokens or none to
    stay, how they moved is still worth knowing.

    Attributes:
        method: the other one, which scores by movement.
        seen: what was noted of the first row, by layer.
    """

    method: Method
    seen: dict[int, Movement] = field(default_factory=dict, compare=False)

    name = "watched"
    paper = "none: it only watches"
    needs: ClassVar[frozenset[str]] = MOVEMENT
    chooses_count: ClassVar[bool] = True

    def select(self, ctx: DropContext) -> Kept:
        """What the other method keeps; rows of a batch come in order, and the first is noted."""
        if ctx.layer not in self.seen:
            self.seen[ctx.layer] = movement(ctx, self.method.score(ctx))
        if ctx.n_keep in (0, len(ctx.positions)):
            return Kept(torch.arange(ctx.n_keep, device=ctx.positions.device))
        return self.method.select(ctx)


def movement(ctx: DropContext, scores: Tensor) -> Movement:
    """How much of the tokens' updates is shared, and how unevenly the scores are spread."""
    moved = ctx.signals.hidden().float() - ctx.signals.previous_hidden().float()
    lengths = torch.linalg.vector_norm(moved, dim=-1)
    mean = float(lengths.mean())
    shared = float(torch.linalg.vector_norm(moved.mean(dim=0))) / mean if mean > 0 else None
    return Movement(ctx.layer, len(scores), shared, gini(scores))


def gini(scores: Tensor) -> float | None:
    """Mean difference of two scores over twice their mean: 0 if all are equal.

    >>> gini(torch.tensor([1.0, 1.0, 1.0])), gini(torch.tensor([0.0, 0.0, 0.0, 8.0]))
    (0.0, 0.75)
    """
    ordered = scores.double().clamp_min(0).sort().values.cpu()
    total, n = float(ordered.sum()), len(ordered)
    if not total > 0:
        return None
    ranks = torch.arange(1, n + 1, dtype=ordered.dtype)
    return max(0.0, 2 * float((ranks * ordered).sum()) / (n * total) - (n + 1) / n)
