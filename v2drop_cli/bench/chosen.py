"""Counts that a method chose itself: what happened stands in for what a schedule would say."""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.bench.arms import Arm
from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.methods.base import Method
from v2drop_cli.records import Caveat, CaveatKind
from v2drop_cli.schedule import DropPlan


def chosen_caveat(method: str) -> Caveat:
    """What the reader of a report must know of a method that chooses its counts."""
    return CaveatKind.COUNTS_BY_METHOD.caveat(method=method)


def ignored_counts(arm: Arm, method: Method) -> tuple[Caveat, ...]:
    """That the counts of ``arm``'s schedule mean nothing to a method with thresholds."""
    drops = () if arm.schedule is None else arm.schedule.drops
    if not method.thresholds or all(drop.keep == 1.0 for drop in drops):
        return ()
    return (CaveatKind.COUNTS_IGNORED.caveat(arm=arm.label, method=method.name),)


def counts_beyond(arm: Arm, method: Method, plan: DropPlan, n_vision: int) -> tuple[Caveat, ...]:
    """That drops of ``arm`` are to keep more tokens than there are, and so keep all of them.

    Published counts are of prompts with more tokens than a small picture has, so this is no error.

    Args:
        arm: an arm that drops.
        method: its method; one with thresholds has no use for counts.
        plan: what each layer processes.
        n_vision: vision tokens of the prompt.
    """
    if arm.schedule is None or method.thresholds:
        return ()
    alive = (n_vision, *plan.counts)  # before each layer
    return tuple(
        CaveatKind.COUNTS_BEYOND.caveat(
            arm=arm.label, drop=drop, count=drop.count, alive=alive[drop.layer]
        )
        for drop in arm.schedule.drops
        if drop.count is not None and drop.count > alive[drop.layer]
    )


def chosen_plan(events: Sequence[DropEvent], n_vision: int, n_layers: int) -> DropPlan:
    """The counts of the batch's first row; the other rows have the same prompt."""
    kept = {event.layer: event.after[0] for event in events}
    return DropPlan.realised(n_vision, n_layers, kept)
