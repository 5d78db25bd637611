"""Counts that a method chose itself: what happened stands in for what a schedule would say."""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.records import Caveat, CaveatKind
from v2drop_cli.schedule import DropPlan


def chosen_caveat(method: str) -> Caveat:
    """What the reader of a report must know of a method that chooses its counts."""
    return CaveatKind.COUNTS_BY_METHOD.caveat(method=method)


def chosen_plan(events: Sequence[DropEvent], n_vision: int, n_layers: int) -> DropPlan:
    """The counts of the batch's first row; the other rows have the same prompt."""
    kept = {event.layer: event.after[0] for event in events}
    return DropPlan.realised(n_vision, n_layers, kept)
