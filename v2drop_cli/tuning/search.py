"""The search itself: one trial after another, each kept as it ends."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.records import INTERRUPTED
from v2drop_cli.records.tuning import ALL_TRIALS, DRAWN, KNOWN, Cost, Quality, Trial, TrialJournal
from v2drop_cli.tuning.front import front
from v2drop_cli.tuning.points import Point
from v2drop_cli.tuning.samplers import Sampler, Tried
from v2drop_cli.tuning.space import Parameters, Space

REDRAWS = 20
"""Draws of one trial until a schedule comes that was not tried yet."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted.

    Attributes:
        by_score: whether by score; else by fidelity.
        tolerate: the loss that is tolerated, for as few FLOPs as can be; ``None``: as good as can
            be at the space's layer average.
    """

    by_score: bool
    tolerate: float | None

    def badness(self, quality: Quality) -> float:
        """What is lost, as finely as it is known."""
        if self.by_score:
            return 1 - (quality.score.mean if quality.score is not None else 0.0)
        return quality.kl if quality.kl is not None else 0.0

    def value(self, cost: Cost, quality: Quality, loss: float) -> float:
        """What the search wants small; what loses more than is tolerated is worse than all else."""
        if self.tolerate is None:
            return self.badness(quality)
        return cost.share if loss <= self.tolerate else 1 + loss


Measure = Callable[[Point], tuple[Cost, Quality, float]]
"""What a point costs and is worth on the calibration rows, and its loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search.

    Attributes:
        known: what is tried first.
        trials: how many in all.
    """

    space: Space
    goal: Goal
    sampler: Sampler
    known: Sequence[Parameters]
    trials: int
    seed: int


def search(plan: Plan, measure: Measure, journal: TrialJournal, watch: Watch) -> str:
    """Try until ``journal`` has all trials; return why it ended.

    Ctrl-C ends the search, not the command, if there is a trial.

    Raises:
        KeyboardInterrupt: interrupted before the first one was over.
    """
    began, new = time.monotonic(), 0
    while (done := len(journal.results)) < plan.trials:
        left = (time.monotonic() - began) / new * (plan.trials - done) if new else None
        watch.on_progress(Progress(Phase.TRIALS, done, plan.trials, left_s=left))
        try:
            watch.check()
            journal.append([_trial(plan, done, journal.results, measure)])
            new += 1
        except KeyboardInterrupt:
            if not done:
                raise
            return INTERRUPTED
    return ALL_TRIALS


def _trial(plan: Plan, number: int, before: Sequence[Trial], measure: Measure) -> Trial:
    known = number < len(plan.known)
    drawn = plan.known[number] if known else _new(plan, number, before)
    point = plan.space.point(drawn)
    schedule = str(point.schedule(plan.space.n_layers))
    again = next((one for one in before if _same(one, point.method, schedule)), None)
    if again is not None:
        cost, quality, loss = again.cost, again.quality, again.loss
    else:
        cost, quality, loss = measure(point)
    return Trial(
        number=number,
        origin=KNOWN if known else DRAWN,
        parameters=dict(drawn),
        method=point.method,
        schedule=schedule,
        asked=point.share,
        cost=cost,
        quality=quality,
        loss=loss,
        value=plan.goal.value(cost, quality, loss),
    )


def _new(plan: Plan, number: int, before: Sequence[Trial]) -> Parameters:
    """What was not tried yet, unless chance brings nothing else."""
    history = [Tried(one.parameters, one.value) for one in before]
    for again in range(REDRAWS):
        drawn = plan.sampler(plan.space, f"{plan.seed}/{number}/{again}", history)
        point = plan.space.point(drawn)
        schedule = str(point.schedule(plan.space.n_layers))
        if not any(_same(one, point.method, schedule) for one in before):
            break
    return drawn


def _same(trial: Trial, method: str, schedule: str) -> bool:
    return (trial.method, trial.schedule) == (method, schedule)


def best(trials: Sequence[Trial], goal: Goal) -> int | None:
    """The trial to recommend: the best, of equals the cheapest; ``None`` if all lose too much."""
    kept = [one for one in trials if goal.tolerate is None or one.loss <= goal.tolerate]
    if not kept:
        return None
    return min(kept, key=lambda one: (one.value, _work(one.cost), one.number)).number


def marked(trials: Sequence[Trial], goal: Goal) -> tuple[Trial, ...]:
    """The trials, with those on the fronts of badness against FLOPs and against prefill time."""
    bad = [goal.badness(one.quality) for one in trials]
    by_work = front(list(zip((_work(one.cost) for one in trials), bad, strict=True)))
    by_time = front(list(zip((one.cost.prefill_s for one in trials), bad, strict=True)))
    return tuple(
        dataclasses.replace(one, on_flops=at in by_work, on_prefill=at in by_time)
        for at, one in enumerate(trials)
    )


def _work(cost: Cost) -> float:
    """FLOPs, or what stands for them where they are not known: to a digit that sums do not move."""
    found = cost.share if cost.prefill_flops is None else cost.prefill_flops
    return float(f"{found:.6g}") if math.isfinite(found) else found
