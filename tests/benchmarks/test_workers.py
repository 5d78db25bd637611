"""Work over several processes gives what one gives, in the order of the jobs."""

from __future__ import annotations

import os

import pytest

from benchmarks.tiny.workers import in_turn


def test_one_worker_works_here():
    assert list(in_turn(lambda job: (job, os.getpid()), range(3), 1)) == [
        (job, os.getpid()) for job in range(3)
    ]


@pytest.mark.slow
def test_two_work_elsewhere_and_end_with_who_asked():
    assert list(in_turn(abs, range(-3, 1), 2)) == [3, 2, 1, 0]
    first = in_turn(abs, range(-1000, 0), 2)
    assert next(first) == 1000
    first.close()
    assert list(first) == []
