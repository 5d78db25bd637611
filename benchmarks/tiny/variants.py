"""Which vision tokens could stay: V2Drop, the methods it is compared with, and everything tried.

A variant picks ``keep`` of the alive tokens and may give them new states. What is in the package is
called by its name there. All else is defined here, for this study alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.tiny.model import GRID
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.signal_protocols import Signals
from v2drop_cli.tensors import top_k

_REGIONS = 6


@dataclass(frozen=True)
class Look:
    """One row's alive vision tokens at a drop.

    Attributes:
        layer: the layer whose input is shortened.
        hidden: ``[n, D]`` what enters it.
        previous: what entered the layer before; ``None`` at layer 0.
        first: what entered the decoder.
        places: ``[n]`` long, which of the prompt's vision tokens these are.
        shown: ``[n]`` bool, whether the token's patch shows a shape. Only the oracle may look.
        block: the layer before.
        seed: for variants that draw at random.
    """

    layer: int
    hidden: Tensor
    previous: Tensor | None
    first: Tensor
    places: Tensor
    shown: Tensor
    block: nn.Module | None
    seed: int

    @property
    def before(self) -> Tensor:
        """What entered the layer before; a drop before the first has none."""
        if self.previous is None:
            raise ValueError("no layer comes before layer 0")
        return self.previous

    @property
    def update(self) -> Tensor:
        """``[n, D]`` what the layer before added."""
        return self.hidden - self.before


Choice = tuple[Tensor, Tensor | None]
Variant = Callable[[Look, int], Choice]
Score = Callable[[Look], Tensor]


@dataclass(frozen=True)
class _Seen:
    """A look as the package's methods see it."""

    look: Look

    def hidden(self) -> Tensor:
        return self.look.hidden

    def previous_hidden(self) -> Tensor:
        return self.look.before

    def measured(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return measure(self.look.hidden, self.look.before)

    def embeddings(self) -> Tensor:
        return self.look.first


def shipped(name: str) -> Variant:
    """The package's method of that name."""
    method = get_method(name)

    def pick(look: Look, keep: int) -> Choice:
        signals: Signals = _Seen(look)  # type: ignore[assignment]
        kept = method.select(DropContext(look.layer, keep, look.places, look.seed, signals))
        return kept.index, kept.merged

    return pick


def best(score: Score) -> Variant:
    """Those with the highest score."""
    return lambda look, keep: (top_k(score(look), keep), None)


def length(rows: Tensor) -> Tensor:
    """``[n]`` of ``[n, D]``: the L2 norm of each row."""
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norm


def moved(look: Look) -> Tensor:
    """The paper's score."""
    return length(look.update)


def centred(look: Look) -> Tensor:
    """The score of ``v2drop-centred``."""
    return length(look.update - look.update.mean(0))


def _projected(name: str) -> Score:
    """How long a token's key or value was in the layer before (rotation changes no length)."""

    def score(look: Look) -> Tensor:
        block: Any = look.block
        return length(getattr(block.self_attn, name)(block.input_layernorm(look.before)))

    return score


def _oracle(look: Look) -> Tensor:
    """Tokens that show a shape first, at random among them: it needs the labels."""
    drawn = torch.rand(len(look.places), generator=torch.Generator().manual_seed(look.seed))
    return 2.0 * look.shown + drawn


def quota(score: Score) -> Variant:
    """Every sixth by sixth of the picture in turn: the best of each, then the second best, …"""

    def pick(look: Look, keep: int) -> Choice:
        scores = score(look)
        row, column = look.places // GRID % GRID, look.places % GRID
        picture = look.places // GRID**2
        region = (picture * GRID + row * _REGIONS // GRID) * GRID + column * _REGIONS // GRID
        order = torch.argsort(scores, descending=True, stable=True)
        same = region[order][:, None] == region[order]
        turn = torch.empty_like(region)
        turn[order] = same.tril(-1).sum(1)  # how many of its region score higher
        rank = torch.empty_like(region)
        rank[order] = torch.arange(len(order))
        return top_k(-(turn * len(order) + rank).double(), keep), None

    return pick


def merging(choose: Variant) -> Variant:
    """As ``choose`` does, then each dropped token is averaged into the most similar kept one."""

    def pick(look: Look, keep: int) -> Choice:
        index, _ = choose(look, keep)
        gone = torch.ones(len(look.hidden), dtype=torch.bool)
        gone[index] = False
        alike = functional.normalize(look.hidden, dim=-1)
        into = (alike[gone] @ alike[index].T).argmax(1)
        total = look.hidden[index].index_add(0, into, look.hidden[gone])
        count = torch.ones(len(index)).index_add(0, into, torch.ones(len(into)))
        return index, total / count[:, None]

    return pick


SHIPPED = ("v2drop", "v2drop-centred", "random", "uniform")
MAIN: dict[str, Variant] = {
    **{name: shipped(name) for name in SHIPPED},
    "input deviation": best(lambda look: length(look.first - look.first.mean(0))),
    "foreground (labels)": best(_oracle),
}
TRIED: dict[str, Variant] = {
    **MAIN,
    "v2drop-l1": shipped("v2drop-l1"),
    "v2drop-cosine": shipped("v2drop-cosine"),
    "v2drop reversed": best(lambda look: -moved(look)),
    "relative: ‖Δ‖ / ‖h‖": best(lambda look: moved(look) / length(look.before)),
    "accumulated: ‖h_L − h_0‖": best(lambda look: length(look.hidden - look.first)),
    "centred, relative to ‖h‖": best(lambda look: centred(look) / length(look.before)),
    "hidden deviation": best(lambda look: length(look.hidden - look.hidden.mean(0))),
    "key norm": best(_projected("k_proj")),
    "value norm": best(_projected("v_proj")),
    "v2drop by quota": quota(moved),
    "v2drop-centred by quota": quota(centred),
    "v2drop, merging": merging(shipped("v2drop")),
    "v2drop-centred, merging": merging(shipped("v2drop-centred")),
    "uniform, merging": merging(shipped("uniform")),
}
# A drop before layer 0 knows no update.
BEFORE: dict[str, Variant] = {
    name: MAIN[name] for name in ("random", "uniform", "input deviation", "foreground (labels)")
}
