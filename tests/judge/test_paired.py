"""Intervals and tests of paired scores, against worked numbers and against drawing many samples."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from scipy.stats import binomtest

from v2drop_cli.judge.paired import (
    Z95,
    Pairs,
    binary_ratio_interval,
    graded_ratio_interval,
    sign_test,
    wilson,
)


@pytest.mark.parametrize(("right", "rows"), [(0, 1), (1, 1), (3, 7), (50, 100), (399, 400)])
def test_wilson_is_that_of_scipy(right, rows):
    found = binomtest(right, rows).proportion_ci(method="wilson")
    assert wilson(right / rows, rows) == pytest.approx((found.low, found.high), abs=1e-12)
    low, high = wilson(right / rows, rows)
    assert 0.0 <= low <= high <= 1.0


def test_wilson_by_hand():
    # 81 of 263: Newcombe 1998, table 1.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 9), (9, 1), (5, 5), (0, 30), (40, 52)])
def test_the_sign_test_is_the_sum_of_the_binomial(gained, lost):
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    assert sign_test(gained, lost) == min(1.0, 2 * tail)


@pytest.mark.parametrize(("gained", "lost"), [(960, 1040), (1040, 960), (1000, 1000), (450, 700)])
def test_the_sign_test_of_many_rows_is_that_of_scipy(gained, lost):
    """Beyond what a float holds: 2 to the power of 2000."""
    expected = binomtest(gained, gained + lost).pvalue
    assert sign_test(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_the_sign_test_of_many_rows_goes_on_where_that_of_few_ends():
    near = [sign_test(k, n - k) for n in (999, 1000, 1001, 1002) for k in (450,)]
    assert all(0 < b / a < 1 for a, b in pairwise(near))
    assert near[2] / near[1] == pytest.approx(near[1] / near[0], rel=0.01)


def covered(interval_of, seed):
    """The share of 500 samples of 150 rows whose interval covers the true ratio of 0.9 to 1."""
    draw, held = random.Random(seed), 0
    for _ in range(500):
        # 75 % both right, 5 % only the arm, 13.9 % only dense: 0.80 over 0.889 is 0.9.
        rows = draw.choices(
            ((1, 1), (1, 0), (0, 1), (0, 0)), (0.75, 0.05, 0.1388889, 0.0611), k=150
        )
        low, high = interval_of(rows)
        held += low <= 0.9 <= high
    return held / 500


def test_both_intervals_of_a_ratio_cover_it():
    def binary(rows):
        pairs = Pairs(rows.count((1, 1)), rows.count((1, 0)), rows.count((0, 1)))
        return binary_ratio_interval(pairs)

    def graded(rows):
        return graded_ratio_interval([float(a) for a, _ in rows], [float(b) for _, b in rows])

    assert 0.92 <= covered(binary, 1) <= 0.98
    assert 0.92 <= covered(graded, 2) <= 0.98


def test_the_ratio_of_two_shares_and_its_interval():
    """The second and third by hand, with the published formulas."""
    assert binary_ratio_interval(Pairs(200, 0, 0)) == pytest.approx((0.9904, 1.0097), abs=5e-5)
    assert binary_ratio_interval(Pairs(80, 5, 9)) == pytest.approx((0.8754, 1.0419), abs=5e-5)
    assert binary_ratio_interval(Pairs(0, 1, 1)) == pytest.approx((0.1044, 9.579), rel=1e-3)
    assert Pairs(both=6, gained=3, lost=2).ratio == 9 / 8
    assert Pairs(both=0, gained=3, lost=2).ratio == 1.5
    assert Pairs(both=0, gained=3, lost=0).ratio is None
    assert Pairs(both=0, gained=0, lost=1).ratio == 0.0


OURS, THEIRS = (0.9, 0.4, 0.5, 0.2, 0.75, 0.6), (1.0, 0.5, 0.25, 0.6, 0.8, 0.6)


def test_at_both_ends_of_a_graded_interval_the_rows_say_just_that_much():
    """The mean of ours - r * theirs is 1.96 of its standard errors away from 0."""
    low, high = graded_ratio_interval(OURS, THEIRS)
    assert low < math.fsum(OURS) / math.fsum(THEIRS) < high
    for ratio, sign in ((low, 1), (high, -1)):
        left = [ours - ratio * theirs for ours, theirs in zip(OURS, THEIRS, strict=True)]
        error = statistics.stdev(left) / math.sqrt(len(left))
        assert statistics.fmean(left) / error == pytest.approx(sign * Z95)


def test_what_grades_cannot_tell():
    assert graded_ratio_interval([], []) is None
    assert graded_ratio_interval([0.5], [0.6]) is None
    assert graded_ratio_interval([0.5, 0.6], [0.6, 0.6]) is not None
    # The same numbers, though not the same objects.
    assert graded_ratio_interval([0.5, float("0.3")], [0.5, float("0.3")]) is None
    assert graded_ratio_interval([0.5, 0.5], [0.5, 0.6]) is not None
    # One row in four says that the reference is above 0: that is not enough.
    assert graded_ratio_interval([0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0]) is None


def test_a_ratio_and_its_inverse_have_inverse_intervals():
    low, high = binary_ratio_interval(Pairs(80, 5, 9))
    least, most = binary_ratio_interval(Pairs(80, 9, 5))
    assert (low, high) == pytest.approx((1 / most, 1 / least))
    assert binary_ratio_interval(Pairs(0, 3, 0)) is None
    assert binary_ratio_interval(Pairs(0, 0, 3)) is None


def test_counts_that_an_interval_was_made_of_stay():
    with pytest.raises(FrozenInstanceError):
        Pairs(1, 2, 3).both = 4
