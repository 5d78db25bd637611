"""Requests a second at each arm's own best batch size, and what may be claimed of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import sweeps
from v2drop_cli.judge.throughput import throughput
from v2drop_cli.records import Stats
from v2drop_cli.records.curves import Curve
from v2drop_cli.records.verdicts import (
    FEW_ROUNDS,
    LESS,
    MORE,
    NO_INTERVAL,
    REACHES_ONE,
    UNCLEAR,
    WITHIN_NOISE,
)


def served(rows, *walls):
    """A batch whose generations took so long."""
    median = sorted(walls)[len(walls) // 2]
    point = sweeps.point(rows, 1.0, rows=rows)
    stats = Stats(median, walls)
    return replace(point, wall_s=stats, requests_per_s=rows / median, rounds=len(walls))


def found(dense, arm):
    curves = (Curve("dense", None, tuple(dense)), Curve("v2drop", "v2drop", tuple(arm)))
    return throughput(curves)


STEADY = (1.0, 1.01, 1.02, 1.0, 0.99)


@pytest.mark.parametrize(
    ("walls", "verdict", "reason"),
    [
        ((0.5, 0.51, 0.5, 0.49, 0.5), MORE, None),
        ((2.0, 2.01, 2.0, 1.99, 2.0), LESS, None),
        ((0.8, 1.3, 0.99, 0.7, 1.2), WITHIN_NOISE, REACHES_ONE),
        ((0.5, 0.51), UNCLEAR, FEW_ROUNDS),
    ],
)
def test_a_gain_is_claimed_by_its_interval(walls, verdict, reason):
    dense, arm = found([served(2, *STEADY)], [served(2, *walls)])
    assert dense.verdict is None
    assert (arm.verdict.verdict, arm.verdict.reason) == (verdict, reason)


def test_rounds_are_too_few_where_they_are_on_either_side():
    """There is no interval then, whichever side it was that was not measured often enough."""
    _, arm = found([served(2, *STEADY[:4])], [served(2, *STEADY)])
    assert (arm.gain.ci95, arm.verdict.reason) == (None, FEW_ROUNDS)
    # Enough of them, and half take no time at all: a ratio without end.
    torn = (0.0, 0.0, 1.0, 1.0, 1.0)
    _, arm = found([served(2, *STEADY)], [served(2, *torn)])
    assert arm.gain.ci95 is None
    assert (arm.verdict.verdict, arm.verdict.reason) == (UNCLEAR, NO_INTERVAL)
    assert arm.verdict.metric == "requests_per_s"


def test_each_arm_is_at_its_own_best_size():
    """Dense serves 1, 1.6 and 1.5 a second with 1, 2 and 4 rows; the arm 1, 1.6 and 3.2."""
    dense, arm = found(
        [served(1, *[1.0] * 5), served(2, *[1.25] * 5), served(4, *[8 / 3] * 5)],
        [served(1, *[1.0] * 5), served(2, *[1.25] * 5), served(4, *[1.25] * 5)],
    )
    assert (dense.size, dense.requests_per_s, arm.size, arm.requests_per_s) == (2, 1.6, 4, 3.2)
    assert arm.gain.median == pytest.approx(2.0)
    assert arm.gain.ci95 == (pytest.approx(2.0), pytest.approx(2.0))


def test_an_arm_that_was_never_timed_has_none():
    [only] = found([], [served(2, *STEADY)])
    assert (only.arm, only.gain, only.verdict) == ("v2drop", None, None)
    untimed = replace(served(2, *STEADY), wall_s=None)
    _, arm = found([untimed], [served(2, *STEADY)])
    assert (arm.gain, arm.verdict) == (None, None)
    assert throughput(()) == ()
