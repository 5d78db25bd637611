"""Budgets of methods that choose their counts themselves: met by trying, one prompt at a time.

What such a method keeps depends on values, so no arithmetic tells which thresholds come to a layer
average of 192 tokens. A few prefills of the prompt do, before anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes
from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.parameters import parameters_of, written
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import SCHEDULE, Caveat, CaveatKind

TRIES = 18
"""The most prefills that are spent on one arm."""
NEAR, NEAR_TOKENS = 0.01, 0.5
"""No more are made once the layer average is this near: the share of the budget, and tokens.

Half a token is what a method with counts comes to by arithmetic.
"""
FARTHEST = 16.0
"""How far the search goes: thresholds times 2 to this power, or divided by it."""


def takes_trying(arm: Arm) -> bool:
    """Whether only prefills tell how near ``arm`` comes to its budget."""
    if arm.budget is None or arm.method is None:
        return False
    return get_method(arm.method).chooses_count


def meet_budget(arm: Arm, passes: Passes) -> Arm:
    """The arm that comes nearest to its budget; as it is if its schedule says the counts.

    A method's thresholds are all scaled by one factor. One that has none (it keeps merged tokens
    on top of the schedule's count, say) is given the schedule of a smaller budget.
    """
    if arm.budget is None or arm.method is None or not takes_trying(arm):
        return arm
    tokens = arm.budget.tokens

    def average(power: float) -> float:
        try:
            return passes.plan(moved(arm, power, passes.loaded, passes.vision_tokens)).layer_average
        except ScheduleError:  # no schedule of so small, or so large, a budget
            return -math.inf if power > 0 else math.inf

    power = nearest(average, tokens)
    found = moved(arm, power, passes.loaded, passes.vision_tokens)
    return replace(found, solved=_solved(get_method(arm.method)), power=power)


def _solved(method: Method) -> tuple[str, ...]:
    """What :func:`moved` changes, as :attr:`ArmResult.solved` names it."""
    if not method.thresholds:
        return (SCHEDULE,)
    if len(method.parts) == 1:
        return method.thresholds
    return tuple(f"{part.name}.{key}" for part in method.parts for key in part.thresholds)


def moved(arm: Arm, power: float, loaded: LoadedModel, n_vision: int) -> Arm:
    """The arm that keeps fewer tokens the higher ``power`` is; at 0 it is ``arm``."""
    if not power or arm.method is None or arm.budget is None:
        return arm
    method = get_method(arm.method)
    if method.thresholds:
        return replace(arm, method=written(method.scaled(2.0**power)))
    shape = Shape.of(loaded.family, loaded.n_layers, loaded.droppable, n_vision)
    smaller = replace(arm.budget, tokens=arm.budget.tokens * 2.0**-power)
    return replace(arm, schedule=smaller.schedule(method, shape))


def nearest(falling: Callable[[float], float], wanted: float) -> float:
    """Where ``falling``, which falls as its argument grows, comes nearest to ``wanted``.

    From 0 it goes on in doubling steps until ``wanted`` lies between two of them, then halves what
    is between. ``falling`` is called :data:`TRIES` times at most, and may be a staircase.

    >>> nearest(lambda x: 100 - 10 * x, 75)
    2.5
    """
    off: dict[float, float] = {}

    def too_high(x: float) -> bool:
        off[x] = falling(x) - wanted
        return off[x] > 0

    def done() -> bool:
        near = min(NEAR * wanted, NEAR_TOKENS)
        return len(off) >= TRIES or min(map(abs, off.values())) <= near

    step = 1.0 if too_high(0.0) else -1.0
    before, behind = 0.0, step
    while not done() and abs(behind) <= FARTHEST and too_high(behind) == (step > 0):
        before, behind = behind, 2 * behind
    while not done() and abs(behind) <= FARTHEST:
        middle = (before + behind) / 2
        if too_high(middle) == (step > 0):
            before = middle
        else:
            behind = middle
    return min(off, key=lambda x: abs(off[x]))


def budget_caveats(asked: Arm, arm: Arm, passes: Passes) -> list[Caveat]:
    """What the reader must know of how ``arm`` comes to its budget.

    Args:
        asked: the arm before :func:`meet_budget`.
        arm: the same after it.
        passes: over the prompt.
    """
    found = _split_caveats(arm, passes)
    if arm.budget is None or arm.method is None or arm.schedule is None:
        return found
    tokens = passes.plan(arm).layer_average
    budget, average = f"{arm.budget.tokens:.4g}", f"{tokens:.4g}"
    if arm.schedule.moved_from:
        own = _listed(arm.schedule.moved_from)
        layers = _listed([drop.layer for drop in arm.schedule.drops if drop.layer])
        found.append(
            CaveatKind.BUDGET_MOVED.caveat(arm=arm.label, budget=budget, own=own, layers=layers)
        )
    if (arm.method, arm.schedule) != (asked.method, asked.schedule):
        by = _knob(asked, arm)
        found.append(
            CaveatKind.BUDGET_TRIED.caveat(arm=arm.label, budget=budget, average=average, by=by)
        )
    if abs(tokens - arm.budget.tokens) > max(NEAR * arm.budget.tokens, NEAR_TOKENS):
        found.append(CaveatKind.BUDGET_MISSED.caveat(arm=arm.label, budget=budget, average=average))
    return found


def _split_caveats(arm: Arm, passes: Passes) -> list[Caveat]:
    """How two methods share what there is, where the split is ours and not the user's."""
    if arm.method is None or len(get_method(arm.method).parts) == 1:
        return []
    ours = arm.budget.layers is None if arm.budget is not None else arm.label == arm.method
    plan = passes.plan(arm)
    average, entered = f"{plan.layer_average:.4g}", plan.counts[0]
    said = CaveatKind.BUDGET_SPLIT.caveat(
        arm=arm.label, entered=entered, all=passes.vision_tokens, average=average
    )
    return [said] if ours else []


def _knob(asked: Arm, arm: Arm) -> str:
    """What was changed to come near the budget, as it can be typed."""
    if arm.method is None or arm.method == asked.method:
        return f"the schedule {arm.schedule}"
    before = {} if asked.method is None else parameters_of(get_method(asked.method))
    after = parameters_of(get_method(arm.method))
    return ", ".join(f"{key}={value}" for key, value in after.items() if value != before.get(key))


def _listed(layers: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, layers))
