"""The order of measuring: randomised rounds, each followed by its mirror image.

A round is one pass over all arms. A fixed order of arms, even a reversed one, lets a drift of the
machine (clocks, heat, caches) look like a property of an arm. Here each round holds every arm
once, in random order, and the next round reverses it (ABBA), so a linear drift cancels in every
pair of rounds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial stands in the order of measuring; all numbers count from 0.

    Attributes:
        warm_up: whether the result of this trial will be thrown away.
        round: number of its round, counted among the warm-up rounds or among the timed ones.
        trial: number of the trial within its round.
    """

    warm_up: bool
    round: int
    trial: int


BeforeTrial = Callable[[Place], None]
"""Called before each trial, never within one."""


def schedule_rounds(n_arms: int, repeats: int, seed: int) -> list[list[int]]:
    """Return the order of the arms in each round; the same for the same seed.

    Args:
        n_arms: arms in each round, at least 1.
        repeats: number of rounds; the last of an odd number has no mirror image.
        seed: of the permutations.

    Raises:
        ValueError: no arms, or a negative number of rounds.

    """
    if n_arms < 1 or repeats < 0:
        raise ValueError(f"cannot schedule {n_arms} arms in {repeats} rounds")
    return list(islice(_orders(n_arms, seed), repeats))


def _orders(n_arms: int, seed: int) -> Iterator[list[int]]:
    """Orders of the rounds, without end: a random one, its mirror image, a random one …"""
    draw = random.Random(seed)
    while True:
        order = draw.sample(range(n_arms), n_arms)
        yield order
        yield order[::-1]


def run_trials(
    arms: Sequence[Callable[[], T]], *, repeats: int, warmup: int, seed: int
) -> list[list[T]]:
    """Run every arm ``repeats`` times in randomised rounds.

    Args:
        arms: each call is one trial and returns its result.
        repeats: rounds, that is timed trials of each arm.
        warmup: untimed trials of each arm, all before the first round; results discarded.
        seed: of the order.

    Returns:
        Per arm, its results in the order of the rounds: the same place is the same round.

    Raises:
        ValueError: no arms, or a negative number of trials.

    """
    rounds = list(run_rounds(arms, repeats=repeats, warmup=warmup, seed=seed))
    return [[results[arm] for results in rounds] for arm in range(len(arms))]


def run_rounds(
    arms: Sequence[Callable[[], T]],
    *,
    repeats: int | None,
    warmup: int,
    seed: int,
    before_trial: BeforeTrial | None = None,
) -> Iterator[list[T]]:
    """As :func:`run_trials`, one round at a time, so that a caller can save or stop between.

    Without ``repeats`` there is no last round: the caller stops taking.

    Yields:
        The results of one round, in the order of ``arms``.

    Raises:
        ValueError: no arms, or a negative number of trials.

    """
    if warmup < 0:
        raise ValueError(f"cannot warm up {warmup} times")
    if len(arms) < 1 or (repeats or 0) < 0:
        raise ValueError(f"cannot schedule {len(arms)} arms in {repeats} rounds")
    tell = before_trial or (lambda place: None)
    for number in range(warmup):
        _round(arms, range(len(arms)), partial(_tell, tell, True, number))
    for number, order in enumerate(islice(_orders(len(arms), seed), repeats)):
        yield _round(arms, order, partial(_tell, tell, False, number))


def _tell(tell: BeforeTrial, warm_up: bool, number: int, trial: int) -> None:
    tell(Place(warm_up, number, trial))


def _round(
    arms: Sequence[Callable[[], T]], order: Sequence[int], tell: Callable[[int], None]
) -> list[T]:
    """Run each arm once, in ``order``; the results come in the order of ``arms``."""
    results: dict[int, T] = {}
    for trial, arm in enumerate(order):
        tell(trial)
        with _no_collection_inside():
            results[arm] = arms[arm]()
    return [results[arm] for arm in range(len(arms))]


@contextmanager
def _no_collection_inside() -> Iterator[None]:
    """Keep Python's garbage collector from pausing a trial.

    A full collection walks every object of torch and transformers, tens of milliseconds that
    would land in some trials and not in others. The cheap young generations, where a trial
    leaves its garbage, are collected before it instead.
    """
    was_enabled = gc.isenabled()
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
