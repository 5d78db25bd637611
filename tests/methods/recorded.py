"""Signals that a test makes up, for methods that are asked outside of a model."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from v2drop_cli.methods.base import DropContext


@dataclass
class Recorded:
    """What one row would show: `text` comes after all vision tokens.

    Attributes:
        vision: how many vision tokens are alive.
        text: how many tokens of text follow.
        rows: `[H, n]` attention of every row of text, if the method looks at it.
        states: `[n + m, D]` normed states of vision and text.
        lengths: `[n + m]` lengths of their keys, in one head and one dimension.
    """

    vision: int
    text_length: int = 2
    rows: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    states: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    lengths: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def context(self, n_keep: int, layer: int = 2) -> DropContext:
        """A drop of this row."""
        return DropContext(layer, n_keep, torch.arange(self.vision), 0, self)  # type: ignore[arg-type]

    def text(self):
        return torch.arange(self.vision, self.vision + self.text_length)

    text_after = text

    def attention(self, rows, layer):
        return self.rows[:, None].expand(-1, len(rows), -1)

    def _at(self, rows):
        return torch.arange(self.vision) if rows is None else rows

    def normed(self, rows=None):
        return self.states[self._at(rows)]

    def keys(self, layer, rows=None):
        return self.lengths[self._at(rows)][None, :, None]
