"""Everything that a search may try, as a few named numbers: what a sampler draws.

A sampler knows choices and numbers from 0 to 1. Whatever it draws is a schedule that fits the
model, so that no trial is lost on one that does not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v2drop_cli.errors import ScheduleError
from v2drop_cli.tuning.points import Point, fits

MOST_DROPS = 4
LEAST_PART = 0.05
"""The least part of the reduction that a drop takes, as a share of the greatest one's."""
METHOD, DROPS, REST, SHARE = "method", "drops", "rest", "share"

Value = str | int | bool | float
Parameters = Mapping[str, Value]
Choices = Mapping[str, Sequence[str | int | bool] | None]
"""Of each name, what is chosen among, a ``range`` where it is a count; ``None`` for 0 to 1."""


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tried on one model.

    Attributes:
        n_layers: decoder layers.
        layers: of each method, those at which it can drop, ascending.
        share: the layer average that all points have; ``None`` where that is searched too.
    """

    n_layers: int
    layers: Mapping[str, Sequence[int]]
    share: float | None

    def __post_init__(self) -> None:
        for method, layers in self.layers.items():
            if self.share is not None and not self._first(layers, self.share):
                raise ScheduleError(
                    f"a budget of {self.share:.1%} of the tokens cannot be met by {method}: the "
                    f"first layer that it can drop at is {layers[0]} of {self.n_layers}",
                    hint="give a larger budget, or another method",
                )
        if self.share is not None and self.share >= 1:
            raise ScheduleError(
                "a budget of all tokens leaves nothing to tune", hint="for example --budget 33%"
            )

    @property
    def choices(self) -> Choices:
        """What a sampler draws."""
        where = {f"layer{i}": None for i in range(MOST_DROPS)}
        parts = {f"part{i}": None for i in range(MOST_DROPS)}
        share = {SHARE: None} if self.share is None else {}
        counted = {DROPS: range(1, MOST_DROPS + 1), REST: (False, True)}
        return {METHOD: tuple(self.layers), **counted, **where, **parts, **share}

    def point(self, drawn: Parameters) -> Point:
        """The point that was drawn."""
        method = str(drawn[METHOD])
        layers = self.layers[method]
        share = self._share(float(drawn[SHARE]), layers) if self.share is None else self.share
        found: list[int] = []
        room = self._first(layers, share)
        for place in range(int(drawn[DROPS])):
            if not room:
                break
            found.append(room[min(len(room) - 1, int(float(drawn[f"layer{place}"]) * len(room)))])
            room = [layer for layer in layers if layer > found[-1]]
        empties = (
            bool(drawn[REST]) and len(found) > 1 and fits(share, found, self.n_layers, empties=True)
        )
        weights = [
            LEAST_PART + (1 - LEAST_PART) * float(drawn[f"part{place}"])
            for place in range(len(found) - empties)
        ]
        parts = tuple(weight / math.fsum(weights) for weight in weights)
        return Point(method, share, tuple(found), parts, empties)

    def drawn(self, point: Point) -> Parameters | None:
        """What has to be drawn for ``point``, or nearly that; ``None`` where nothing comes to it.

        Parts that are too small for :data:`LEAST_PART` become larger.
        """
        layers = self.layers[point.method]
        share = point.share if self.share is None else self.share
        room = self._first(layers, share)
        found: dict[str, Value] = {METHOD: point.method, REST: point.empties}
        found |= {DROPS: len(point.layers)}
        if len(point.layers) > MOST_DROPS:
            return None
        for place, layer in enumerate(point.layers):
            if layer not in room:
                return None
            found[f"layer{place}"] = (room.index(layer) + 0.5) / len(room)
            room = [each for each in layers if each > layer]
        for place, part in enumerate(point.parts):
            weight = part / max(point.parts)
            found[f"part{place}"] = max(0.0, (weight - LEAST_PART) / (1 - LEAST_PART))
        if self.share is None:
            found[SHARE] = self._drawn_share(share, layers)
        return {name: found.get(name, 0.5) for name in self.choices}

    def any(self, key: str) -> Parameters:
        """Something drawn at random, the same for the same ``key``."""
        draw = random.Random(key)
        return {
            name: draw.random() if among is None else draw.choice(among)
            for name, among in self.choices.items()
        }

    def _first(self, layers: Sequence[int], share: float) -> list[int]:
        """Where the first drop may be: before it, layers hold all tokens."""
        return [layer for layer in layers if fits(share, (layer,), self.n_layers, empties=False)]

    def _least(self, layers: Sequence[int]) -> float:
        """The smallest layer average that is searched: half a layer's tokens behind the first."""
        return (layers[0] + 0.5) / self.n_layers

    def _share(self, drawn: float, layers: Sequence[int]) -> float:
        """In equal factors: from a half to a quarter is as far as from all to a half."""
        return float(self._least(layers) ** (1 - drawn))

    def _drawn_share(self, share: float, layers: Sequence[int]) -> float:
        least = math.log(self._least(layers))
        return min(1.0, max(0.0, 1 - math.log(share) / least))
