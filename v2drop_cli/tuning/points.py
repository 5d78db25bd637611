"""One schedule of a search: drop layers, and how the drops share what has to go.

A layer average fixes how much is dropped in all, not where. With the drops' layers given, what is
left to choose is how the reduction is split: drop *i* leaves ``exp(-t · w_i)`` of what it finds,
the parts ``w`` sum to 1, and ``t`` is solved for so that the layer average is the one asked for.
Counts never grow that way, and every schedule with falling counts is one such split.

    >>> point = Point("v2drop", 1 / 3, (3, 17, 22), (0.5, 0.5), empties=True)
    >>> str(point.schedule(32))
    '3:0.4691,17:0.4691,22:0'
    >>> round(average(point.schedule(32), 32), 3)
    0.333
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from v2drop_cli.schedule import Drop, Schedule

DIGITS = 4
"""Of a share in a schedule that was searched."""
MANY = 1_000_000
"""Tokens of a prompt so long that counts are shares."""
_STRONGEST = 1e4
"""No reduction is stronger: what is left of it is nothing, however small a drop's part."""


@dataclass(frozen=True, slots=True)
class Point:
    """Drops in shares, so that they fit every prompt.

    Attributes:
        method: in text form.
        share: layer average, of the prompt's vision tokens.
        layers: where it drops, ascending.
        parts: of each drop, but for one that takes the rest: its part of the reduction; positive,
            and they sum to 1.
        empties: whether the last drop takes the rest, as V2Drop's does.
    """

    method: str
    share: float
    layers: tuple[int, ...]
    parts: tuple[float, ...]
    empties: bool = False

    def schedule(self, n_layers: int) -> Schedule:
        """The drops; shares are rounded up, because what is kept of them is rounded down."""
        left = _left(self, n_layers)
        keeps = [after / before if before else 0.0 for before, after in pairwise((1.0, *left))]
        scale = 10**DIGITS
        shares = [min(1.0, math.ceil(keep * scale - 1e-6) / scale) for keep in keeps]
        drops = zip(self.layers, shares, strict=True)
        return Schedule(tuple(Drop(layer, keep=share) for layer, share in drops))


def _left(point: Point, n_layers: int) -> list[float]:
    """What is left of the prompt's tokens after each drop."""
    ends = (*point.layers[1:], n_layers)
    spans = [end - begin for begin, end in zip(point.layers, ends, strict=True)]
    wanted = point.share * n_layers - point.layers[0]
    sums = list(accumulate(point.parts))

    def after(strength: float) -> list[float]:
        return [math.exp(-strength * each) for each in sums]

    low, high = 0.0, _STRONGEST
    for _ in range(100):
        middle = (low + high) / 2
        found = math.fsum(a * b for a, b in zip(after(middle), spans, strict=False))
        low, high = (middle, high) if found > wanted else (low, middle)
    return [*after(high), *([0.0] if point.empties else [])]


def fits(share: float, layers: Sequence[int], n_layers: int, empties: bool) -> bool:
    """Whether drops at ``layers`` can come to a layer average of ``share``.

    >>> fits(1 / 3, (3, 17, 22), 32, True), fits(1 / 3, (11, 17), 32, False)
    (True, False)
    >>> fits(0.9, (3, 17, 22), 32, True)
    False
    """
    most = layers[-1] if empties else n_layers
    return layers[0] < share * n_layers <= most


def point_of(method: str, schedule: Schedule, n_layers: int) -> Point | None:
    """The point whose schedule this is; ``None`` where it drops nothing, or all at once."""
    left, layers = [1.0], []
    for drop in schedule.drops:
        after = drop.kept(round(left[-1] * MANY)) / MANY
        if after < left[-1]:
            left.append(after)
            layers.append(drop.layer)
    empties = len(left) > 2 and left[-1] < 10**-DIGITS
    kept = left[:-1] if empties else left
    if not layers or not kept[-1]:
        return None
    reductions = [math.log(before / after) for before, after in pairwise(kept)]
    whole = math.fsum(reductions)
    parts = tuple(each / whole for each in reductions)
    return Point(method, average(schedule, n_layers), tuple(layers), parts, empties)


def average(schedule: Schedule, n_layers: int) -> float:
    """The layer average of ``schedule``, of a prompt's vision tokens."""
    return schedule.resolve(MANY, n_layers).layer_average / MANY
