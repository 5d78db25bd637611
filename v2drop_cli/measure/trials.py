"""The order of measuring: randomised blocks, each followed by its mirror image.

A fixed order of arms, even a reversed one, lets a drift of the machine (clocks, heat, caches)
look like a property of an arm. Here each block holds every arm once, in random order, and the
next block reverses it (ABBA), so a linear drift cancels in every pair of blocks.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with the trials done and the trials in all, warm-up included."""


def schedule_blocks(n_arms: int, repeats: int, seed: int) -> list[list[int]]:
    """Return the order of the arms in each block; the same for the same seed.

    Args:
        n_arms: arms in each block, at least 1.
        repeats: number of blocks; the last of an odd number has no mirror image.
        seed: of the permutations.

    Raises:
        ValueError: no arms, or a negative number of blocks.

    """
    if n_arms < 1 or repeats < 0:
        raise ValueError(f"cannot schedule {n_arms} arms in {repeats} blocks")
    return list(islice(_orders(n_arms, seed), repeats))


def _orders(n_arms: int, seed: int) -> Iterator[list[int]]:
    """Orders of the blocks, without end: a random one, its mirror image, a random one …"""
    draw = random.Random(seed)
    while True:
        order = draw.sample(range(n_arms), n_arms)
        yield order
        yield order[::-1]


def run_trials(
    arms: Sequence[Callable[[], T]],
    *,
    repeats: int,
    warmup: int,
    seed: int,
    on_progress: Progress | None = None,
) -> list[list[T]]:
    """Run every arm ``repeats`` times in randomised blocks.

    Args:
        arms: each call is one trial and returns its result.
        repeats: blocks, that is timed trials of each arm.
        warmup: untimed trials of each arm, all before the first block; results discarded.
        seed: of the order.
        on_progress: called between trials, never within one.

    Returns:
        Per arm, its results in block order: the same place is the same block.

    Raises:
        ValueError: no arms, or a negative number of trials.

    """
    blocks = list(
        run_blocks(arms, repeats=repeats, warmup=warmup, seed=seed, on_progress=on_progress)
    )
    return [[block[arm] for block in blocks] for arm in range(len(arms))]


def run_blocks(
    arms: Sequence[Callable[[], T]],
    *,
    repeats: int | None,
    warmup: int,
    seed: int,
    on_progress: Progress | None = None,
) -> Iterator[list[T]]:
    """As :func:`run_trials`, one block at a time, so that a caller can save or stop between.

    Without ``repeats`` there is no last block: the caller stops taking, and the total told to
    ``on_progress`` is 0.

    Yields:
        The results of one block, in the order of ``arms``.

    Raises:
        ValueError: no arms, or a negative number of trials.

    """
    if warmup < 0:
        raise ValueError(f"cannot warm up {warmup} times")
    if len(arms) < 1 or (repeats or 0) < 0:
        raise ValueError(f"cannot schedule {len(arms)} arms in {repeats} blocks")
    timed = islice(_orders(len(arms), seed), repeats)
    rehearsal = [list(range(len(arms)))] * warmup
    total = 0 if repeats is None else (repeats + warmup) * len(arms)
    done = 0
    for number, order in enumerate(chain(rehearsal, timed)):
        results: dict[int, T] = {}
        for arm in order:
            with _no_collection_inside():
                results[arm] = arms[arm]()
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        if number >= warmup:
            yield [results[arm] for arm in range(len(arms))]


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
