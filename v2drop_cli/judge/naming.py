"""Which arm is meant: by a name in a gate, and by an arm of another report.

An arm is its method, the method's parameters and its schedule. Its label says the same in short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from v2drop_cli.errors import ScheduleError, UsageError, unknown_name
from v2drop_cli.methods.registry import name_of
from v2drop_cli.records import SCHEDULE, ArmResult
from v2drop_cli.schedule import DEFAULT_PRESET, Schedule

POSITIONS = "positions"  # the one parameter that every method has


class Named(Protocol):
    """An arm before it is measured, or what was measured of it."""

    @property
    def label(self) -> str:
        """The head of its column."""

    @property
    def method(self) -> str | None:
        """Its method, with or without parameters; ``None`` for dense."""

    @property
    def schedule(self) -> object | None:
        """Its schedule, or the schedule's text."""


T = TypeVar("T", bound=Named)


def arm_called(name: str, arms: Sequence[T]) -> T | None:
    """The arm that ``name`` means: a label, or else as much of method and schedule as one arm has.

    ``v2drop`` means the only arm of that method, ``v2drop 3:0.5`` the one with that schedule,
    whatever its label says.

    Raises:
        UsageError: it could be several.
    """
    for found in (
        [arm for arm in arms if arm.label == name],
        [arm for arm in arms if _canonical(name) in (arm.label, *_with_schedule(arm))],
        [arm for arm in arms if name in _methods(arm)],
    ):
        if len(found) > 1:
            labels = ", ".join(arm.label for arm in found)
            raise UsageError(f"{name!r} could be any of {labels}", hint="name one by its label")
        if found:
            return found[0]
    return None


def check_names(names: Sequence[str], arms: Sequence[Named]) -> None:
    """Refuse a name that no arm has, before anything is measured or judged.

    Raises:
        UnknownNameError: there is one.
        UsageError: a name could be several.
    """
    for name in names:
        if arm_called(name, arms) is None:
            raise unknown_name("arm", name, [arm.label for arm in arms])


def same_arm(a: ArmResult, b: ArmResult) -> bool:
    """Whether two reports measured the same: method, parameters and schedule, whatever the label.

    What prefills found for one budget was not asked for, and is left out: a threshold of another
    fourth digit makes no other arm.

    Reports from before methods had parameters know of none: they match whatever these are. Only
    what all methods have is known of old ones too: their survivors kept their positions.
    """
    solved = frozenset[str]()
    if a.budget is not None and a.budget == b.budget:
        solved = frozenset((*a.solved, *b.solved))
    ours, theirs = (
        {key: value for key, value in _parameters(arm).items() if key not in solved}
        for arm in (a, b)
    )
    if ours.pop(POSITIONS) != theirs.pop(POSITIONS):
        return False
    known = not ours or not theirs or ours == theirs
    schedules = SCHEDULE in solved or a.schedule == b.schedule
    return a.method == b.method and schedules and known


def _parameters(arm: ArmResult) -> dict[str, object]:
    return {POSITIONS: "original", **arm.parameters}


def matched(a: Sequence[ArmResult], b: Sequence[ArmResult]) -> list[tuple[ArmResult, ArmResult]]:
    """The arms of A that B has too, each once; of several that are the same, by label.

    A budget can come to the schedule of another arm, so one report may hold the same arm twice.
    """
    pairs, left = [], list(b)
    for ours in sorted(a, key=lambda arm: all(arm.label != other.label for other in b)):
        found = [theirs for theirs in left if same_arm(ours, theirs)]
        if found:
            theirs = min(found, key=lambda arm: arm.label != ours.label)
            left.remove(theirs)
            pairs.append((ours, theirs))
    order = [arm.label for arm in a]
    return sorted(pairs, key=lambda pair: order.index(pair[0].label))


def _methods(arm: Named) -> set[str]:
    """The method's name, and its text with parameters, which a label begins with."""
    if arm.method is None:
        return set()
    name = name_of(arm.method)
    text = arm.label.split(" ")[0]
    return {name, arm.method, text} if name_of(text) == name else {name, arm.method}


def _canonical(name: str) -> str:
    """The name with its schedule as reports write it: ``v2drop 1:50%`` is ``v2drop 1:0.5``."""
    method, _, schedule = name.partition(" ")
    if schedule == DEFAULT_PRESET:  # labels named it once
        return method
    try:
        return f"{method} {Schedule.parse(schedule)}"
    except ScheduleError:
        return name


def _with_schedule(arm: Named) -> set[str]:
    """Method and schedule, and the shares alone, as labels were for ``--ratios`` once."""
    if arm.schedule is None:
        return set()
    drops = str(arm.schedule).split(",")
    shares = ",".join(drop.partition(":")[2] for drop in drops)
    return {f"{text} {said}" for text in _methods(arm) for said in (arm.schedule, shares)}
