"""The same arms for one prompt after another: what was asked for, resolved anew for each.

A budget is a share or a number of each prompt's own tokens, and thresholds that were found for a
budget on the first prompt are kept for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.budgets import moved
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import LoadedModel


class PromptArms:
    """The arms of any prompt of one model.

    Args:
        options: what was asked for.
        loaded: the model.
        first: the arms of one prompt, budgets met.
        n_vision: the vision tokens of that prompt.
    """

    def __init__(
        self, options: ArmOptions, loaded: LoadedModel, first: Sequence[Arm], n_vision: int
    ) -> None:
        self._options, self._loaded, self._first = options, loaded, tuple(first)
        self._known = {n_vision: self._first}

    @property
    def labels(self) -> tuple[str, ...]:
        """What the arms are called, the same for every prompt."""
        return tuple(arm.label for arm in self._first)

    def of(self, n_vision: int) -> tuple[Arm, ...]:
        """The arms of a prompt of so many vision tokens, in the order of the first one's.

        Raises:
            ScheduleError: one does not fit such a prompt.
        """
        if n_vision not in self._known:
            self._known[n_vision] = tuple(self._again(arm, n_vision) for arm in self._first)
        return self._known[n_vision]

    def _again(self, arm: Arm, n_vision: int) -> Arm:
        """``arm`` for another prompt."""
        if arm.method is None:
            return arm
        asked = arm.method
        if arm.budget is not None:  # thresholds that were found since are in ``arm.method``
            asked = arm.label.removesuffix(f" budget {arm.budget.name}")
        arms = self._options.of(get_method(asked), self._loaded, n_vision)
        found = next(one for one in arms if one.label == arm.label)
        if not arm.solved:
            return found
        found = moved(found, arm.power, self._loaded, n_vision)
        return replace(found, solved=arm.solved, power=arm.power)
