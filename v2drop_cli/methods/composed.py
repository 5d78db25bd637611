"""Two methods in a row: one shortens the decoder's input, the other drops inside the decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from v2drop_cli.errors import ScheduleError, UsageError
from v2drop_cli.methods.base import PREVIOUS_HIDDEN, DropContext, Kept, Method, Positions
from v2drop_cli.methods.shape import Shape
from v2drop_cli.records import Caveat
from v2drop_cli.schedule import REFERENCE_DEPTH, Drop, Schedule

# A prompt to ask a method about: where it drops, and what share of the tokens it keeps there.
MANY = 1_000_000
USUAL_SHARE = 1 / 3
"""Layer average where nobody names a budget: that of V2Drop's default, 192 of 576 tokens."""


@dataclass(frozen=True)
class Composed(Method):
    """``FIRST+SECOND``: the first chooses at layer 0, the second at all later drops.

    Both share one budget, and no paper says how to split it. Our setting: each reduces by the same
    factor. For a layer average of b of N tokens the first keeps ``N·√(b/N)`` of them, and the
    second brings the average of these down to b, by its own schedule:

        visionzip+v2drop, 64 of 576     192 tokens enter the decoder, of which layers hold 64

    Without a budget it is a third of the tokens, in shares.
    """

    first: Method
    second: Method

    def __post_init__(self) -> None:
        parts = first, second = self.first, self.second
        name = "+".join(part.name for part in parts)
        if first.name == second.name:
            raise UsageError(
                f"{name} is one method twice",
                hint=f"give {first.name} several drops: --schedule 0:0.5,3:0.5",
            )
        for part in parts:
            if part.merges_patches is not None:
                raise UsageError(
                    f"{part.name} cannot be part of {name}: it drops before the decoder and inside",
                    hint="compose a method that drops at layer 0 with one that drops inside",
                )
        if PREVIOUS_HIDDEN in first.needs or (_has_layers(first) and _layers_of(first) != {0}):
            raise UsageError(
                f"{first.name} cannot come first in {name}: it drops inside the decoder",
                hint="begin with a method that drops at layer 0, such as random",
            )
        if 0 in _layers_of(second):
            raise UsageError(
                f"{second.name} cannot come second in {name}: it drops before the decoder",
                hint="end with a method that drops inside the decoder, such as v2drop",
            )
        # Of a class elsewhere; here they depend on which two methods these are.
        both = {
            "name": name,
            "paper": f"our setting: {first.paper}, then {second.paper}",
            "needs": first.needs | second.needs,
            "tower_layers": tuple(dict.fromkeys((*first.tower_layers, *second.tower_layers))),
            "chooses_count": first.chooses_count or second.chooses_count,
            "thresholds": (*first.thresholds, *second.thresholds),
        }
        for attribute, value in both.items():
            object.__setattr__(self, attribute, value)

    @property
    def parts(self) -> tuple[Method, ...]:
        """First and second."""
        return self.first, self.second

    def at(self, layer: int) -> Method:
        """The first before the decoder, the second inside."""
        return self.second if layer else self.first

    def positions_at(self, layer: int) -> Positions:
        """Those of the one that chooses there."""
        return self.at(layer).positions_at(layer)

    def attach(self, model: Any, processor: Any) -> Method:
        """Both with what the decoder lacks."""
        first, second = (part.attach(model, processor) for part in self.parts)
        return replace(self, first=first, second=second)

    def caveats(self) -> tuple[Caveat, ...]:
        """Those of both."""
        return (*self.first.caveats(), *self.second.caveats())

    def scaled(self, factor: float) -> Self:
        """Both with their thresholds times ``factor``."""
        return replace(self, first=self.first.scaled(factor), second=self.second.scaled(factor))

    def check(self, schedule: Schedule) -> None:
        """Refuse a schedule in which one of the two has nothing to do, or that it refuses itself.

        Raises:
            ScheduleError: it has no drop at layer 0, or none later.
        """
        if schedule.drops[0].layer or len(schedule.drops) == 1:
            idle = self.first.name if schedule.drops[0].layer else self.second.name
            raise ScheduleError(
                f"{self.name} would never ask {idle} in {schedule}",
                hint="give a drop at layer 0 and one inside the decoder: 0:0.5,3:0.5",
            )
        self.first.check(Schedule(schedule.drops[:1]))
        self.second.check(Schedule(schedule.drops[1:]))

    def check_model(self, config: Any) -> None:
        """Refuse what either of them refuses."""
        for part in self.parts:
            part.check_model(config)

    def check_media(self, kinds: frozenset[str]) -> None:
        """Refuse what either of them refuses."""
        for part in self.parts:
            part.check_media(kinds)

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """The first's drop at layer 0, then the second's own drops, for one layer average."""
        if budget is None:
            many = replace(shape, n_vision=MANY)
            return _in_shares(self._solved(MANY * USUAL_SHARE, many), MANY)
        return self._solved(budget, shape)

    def _solved(self, budget: float, shape: Shape) -> Schedule:
        tokens = shape.prompt
        if not 0 <= budget <= tokens:
            return shape.solved(budget)  # which says what is wrong with it
        enter = math.sqrt(budget * tokens)
        found = self._entered_by(enter, budget, shape)
        average = found.resolve(tokens, shape.n_layers).layer_average
        if average:  # a second method without counts is coarse: the first makes up for it
            mended = self._entered_by(min(tokens, enter * budget / average), budget, shape)
            again = mended.resolve(tokens, shape.n_layers).layer_average
            found = mended if abs(again - budget) < abs(average - budget) else found
        return found

    def _entered_by(self, enter: float, budget: float, shape: Shape) -> Schedule:
        """The drops of both where about ``enter`` tokens enter the decoder."""
        tokens = shape.prompt
        entry = Schedule((Drop(0, count=round(enter)),))
        if _has_layers(self.first):
            entry = self.first.schedule(enter, shape)
        left = entry.resolve(tokens, shape.n_layers).counts[0]
        inside = self.second.schedule(min(budget, left), replace(shape, n_vision=left))
        return replace(inside, drops=(*entry.drops, *inside.drops))

    def select(self, ctx: DropContext) -> Kept:
        """What the method of this layer says; one that chooses no counts is only asked for some."""
        part, n = self.at(ctx.layer), len(ctx.positions)
        if part.chooses_count or 0 < ctx.n_keep < n:
            return part.select(ctx)
        return Kept(torch.arange(min(ctx.n_keep, n), device=ctx.positions.device))


def _has_layers(method: Method) -> bool:
    """Whether ``method`` says itself where it drops, instead of being content with any layers."""
    return type(method).schedule is not Method.schedule


def _layers_of(method: Method) -> set[int]:
    """Where ``method`` drops by itself, in a decoder of usual depth."""
    shape = Shape(REFERENCE_DEPTH, n_vision=MANY)
    return {drop.layer for drop in method.schedule(None, shape).drops}


def _in_shares(schedule: Schedule, tokens: int) -> Schedule:
    """The same drops for a prompt of any size, given what they are for one of ``tokens``."""
    drops, alive = [], tokens
    for drop in schedule.drops:
        left = drop.kept(alive)
        drops.append(Drop(drop.layer, keep=round(left / alive, 4) if alive else 0.0))
        alive = left
    return replace(schedule, drops=tuple(drops))
