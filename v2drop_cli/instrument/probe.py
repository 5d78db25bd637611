"""Lazy signals: what a method may look at, gathered only when it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from v2drop_cli.errors import InstrumentError


@dataclass(frozen=True, slots=True)
class RowSignals:
    """Signals of one batch row's alive vision tokens.

    Attributes:
        entering: ``[W, D]`` this row's hidden states entering the drop layer.
        entered_before: ``[W, D]`` the ones that entered the layer before, or ``None`` if no
            method asked for them.
        alive: ``[n]`` long, columns of the alive vision tokens.
    """

    entering: Tensor
    entered_before: Tensor | None
    alive: Tensor

    def hidden(self) -> Tensor:
        """``[n, D]`` hidden states entering the drop layer."""
        return self.entering[self.alive]

    def previous_hidden(self) -> Tensor:
        """``[n, D]`` hidden states that entered the layer before."""
        # On a model spread over devices, the layer before may have run elsewhere.
        before = self._before()
        return before[self.alive.to(before.device)].to(self.entering.device)

    def measured(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``[n]``: ``measure(hidden, previous_hidden)`` of all columns, then the tokens' own."""
        return measure(self.entering, self._before().to(self.entering.device))[self.alive]

    def _before(self) -> Tensor:
        if self.entered_before is None:
            raise InstrumentError("the previous layer was not recorded: add it to Method.needs")
        return self.entered_before
