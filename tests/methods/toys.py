"""Methods for tests only: each is the smallest one that uses some seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.methods.base import HIDDEN, Kept, Method
from v2drop_cli.schedule import Drop, Schedule


@dataclass(frozen=True)
class First(Method):
    """Keeps the tokens nearest to ``start``; its other parameters only show their kinds."""

    name = "first"
    paper = "a test"
    start: int = 0
    share: float = 0.5
    loud: bool = False
    words: str = ""
    side: Literal["left", "right"] = "left"

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise UsageError(f"share={self.share:g} of first is outside 0 to 1")

    def score(self, ctx):
        return -(ctx.positions - ctx.positions[0] - self.start).abs().float()


@dataclass(frozen=True)
class Longer(Method):
    """Keeps every token whose hidden state is longer than ``times`` the mean length."""

    name = "longer"
    paper = "a test"
    needs = frozenset({HIDDEN})
    chooses_count = True
    thresholds = ("times",)
    times: float = 1.0

    def select(self, ctx):
        lengths = ctx.signals.hidden().float().norm(dim=-1)
        return Kept(torch.nonzero(lengths > self.times * lengths.mean())[:, 0])


@dataclass(frozen=True)
class Extra(Method):
    """Keeps the first tokens, a quarter more of them than the schedule says, rounded up."""

    name = "extra"
    paper = "a test"
    chooses_count = True

    def select(self, ctx):
        n = len(ctx.positions)
        return Kept(torch.arange(min(n, ctx.n_keep + -(-ctx.n_keep // 4))))


@dataclass(frozen=True)
class Entry(Method):
    """Drops before the decoder alone; keeps every second token, so to speak, from ``start``."""

    name = "entry"
    paper = "a test"
    start: int = 0

    def schedule(self, budget, shape):
        return Schedule((Drop(0, keep=0.25) if budget is None else Drop(0, count=round(budget)),))

    def score(self, ctx):
        return -(ctx.positions - ctx.positions[0] - self.start).abs().float()


@dataclass(frozen=True)
class Choosy(Method):
    """Refuses every prompt when it is asked, as a method does that needs a class token."""

    name = "choosy"
    paper = "a test"

    def score(self, ctx):
        raise UnsupportedModelError("choosy needs what no model has", hint="take another method")


@dataclass(frozen=True)
class Pairs(Method):
    """Keeps every second of the first 2k tokens, and merges the token before into it."""

    name = "pairs"
    paper = "a test"
    needs = frozenset({HIDDEN})

    def select(self, ctx):
        states, n = ctx.signals.hidden(), len(ctx.positions)
        index = torch.arange(ctx.n_keep) * 2 + 1
        into = torch.full((n,), -1)
        into[index - 1] = torch.arange(ctx.n_keep)
        # Backwards: the instrument sorts survivors, and what belongs to them.
        merged = ((states[index] + states[index - 1]) / 2).flip(0)
        return Kept(index.flip(0), merged, torch.where(into < 0, into, ctx.n_keep - 1 - into))


@dataclass(frozen=True)
class Once(Method):
    """Drops once, at a layer of its own, and meets a budget by that layer's count alone."""

    name = "once"
    paper = "a test"
    layer: int = 2

    def schedule(self, budget, shape):
        if budget is None:
            return Schedule((Drop(self.layer, keep=0.25),))
        left = (budget * shape.n_layers - self.layer * shape.n_vision) / (
            shape.n_layers - self.layer
        )
        return Schedule((Drop(self.layer, count=round(left)),))

    def score(self, ctx):
        return ctx.positions.float()


def registered(monkeypatch, *methods):
    """Let the registry find these methods of this file for the rest of the test."""
    from v2drop_cli.methods.registry import METHODS

    for method in methods:
        monkeypatch.setitem(METHODS, method.name, f"{method.__module__}:{method.__name__}")


def only(monkeypatch, *names):
    """Let the registry hold these methods of the package alone for the rest of the test.

    A dict of its own: taken out and put back, names would come back in another order.
    """
    from v2drop_cli.methods import registry

    few = {name: where for name, where in registry.METHODS.items() if name in names}
    monkeypatch.setattr(registry, "METHODS", few)
