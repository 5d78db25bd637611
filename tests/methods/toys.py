"""Methods for tests only: each is the smallest one that uses some seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import Method


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


def registered(monkeypatch, *methods):
    """Let the registry find these methods of this file for the rest of the test."""
    from v2drop_cli.methods.registry import METHODS

    for method in methods:
        monkeypatch.setitem(METHODS, method.name, f"{method.__module__}:{method.__name__}")
