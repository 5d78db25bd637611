"""Work shared out over processes; by one worker it is done here, without starting another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")


def in_turn(work: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    """What ``work`` makes of each job, in order. Who takes no more of them ends the rest.

    Args:
        work: of a module's top level, or a method: other processes must find it.
        jobs: what it is given, one by one.
        workers: processes.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
