"""How the tokens moved before each drop (``--explain``): two numbers a layer, and how to read them.

Whether the plain norm of a token's update says anything of that token alone depends on the model:
where a layer adds one large vector to nearly all tokens, the norm ranks tokens by their part in
what all of them do.
"""

from __future__ import annotations

from collections.abc import Iterator

from v2drop_cli.records import ArmResult, Movement, Report
from v2drop_cli.report import wording
from v2drop_cli.report.text import glued
from v2drop_cli.report.view import Cell, Row
from v2drop_cli.units import NOT_AVAILABLE

TITLE = "How tokens moved before each drop"
# From here on more than half of the mean squared update is common to all tokens: 0.71 squared.
MOSTLY_SHARED = 0.71
READING = (
    "shared update, 0 to 1: how much of what the layer before did to the tokens is the same for "
    f"all of them. From {MOSTLY_SHARED} on it is most: the plain norm then ranks tokens by their "
    "part in what all of them do. Spread of scores, 0 to 1 (Gini): 0 is the same score for all "
    "tokens, near 1 a few tokens have it all"
)


def rows(report: Report) -> Iterator[Row]:
    """For each layer that some arm drops at, how much was shared, and how the scores spread."""
    layers = sorted({found.layer for arm in report.arms for found in arm.movements})
    for layer in layers:
        found = [_at(arm, layer) for arm in report.arms]
        yield Row(f"layer {layer}: {glued('shared update')}", tuple(map(_shared, found)))
        yield Row(f"layer {layer}: {glued('spread of scores')}", tuple(map(_spread, found)))


def _at(arm: ArmResult, layer: int) -> Movement | None:
    return next((found for found in arm.movements if found.layer == layer), None)


def _shared(found: Movement | None) -> Cell:
    if found is None:
        return _nothing()
    if found.shared_update is None:
        return Cell(NOT_AVAILABLE, "muted")
    text = f"{found.shared_update:.2f}"
    if found.shared_update < MOSTLY_SHARED:
        return Cell(text)
    return Cell(f"{text} {glued('mostly shared')}", "warn")


def _spread(found: Movement | None) -> Cell:
    if found is None:
        return _nothing()
    known = found.score_gini is not None
    return Cell(f"{found.score_gini:.2f}") if known else Cell(NOT_AVAILABLE, "muted")


def _nothing() -> Cell:
    return Cell(wording.NOTHING, "muted", filler=True)
