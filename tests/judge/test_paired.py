"""Intervals and tests of paired scores, against worked numbers and against drawing many samples."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from v2drop_cli.judge.paired import (
    Pairs,
    binary_ratio_interval,
    graded_ratio_interval,
    sign_test,
    wilson,
)
from v2drop_cli.judge.scoreboard import against
from v2drop_cli.records.journal import ArmAnswer


def answers(*scores):
    return [ArmAnswer("", (), score, 1, 1.0, 0.1, None) for score in scores]


def test_wilson_by_hand():
    # 81 of 263: Newcombe 1998, table 1.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 9), (9, 1), (5, 5), (0, 30), (40, 52)])
def test_the_sign_test_is_the_sum_of_the_binomial(gained, lost):
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    assert sign_test(gained, lost) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)


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


def test_a_ratio_and_its_inverse_have_inverse_intervals():
    low, high = binary_ratio_interval(Pairs(80, 5, 9))
    least, most = binary_ratio_interval(Pairs(80, 9, 5))
    assert (low, high) == pytest.approx((1 / most, 1 / least))
    assert binary_ratio_interval(Pairs(0, 3, 0)) is None
    assert binary_ratio_interval(Pairs(0, 0, 3)) is None


def test_an_arm_against_dense_row_by_row():
    ours, theirs = answers(1, 1, 0, 0, 1), answers(1, 0, 1, 1, 1)
    found = against(ours, theirs)
    assert (found.gained, found.lost) == (1, 2)
    assert found.retention == 3 / 4
    assert found.p_value == 1.0
    assert found.verdict == "unclear"
    assert found.prefill_speedup == 1.0


def test_verdicts_say_what_the_interval_shows():
    def verdict(both, gained, lost):
        rows = [(1, 1)] * both + [(1, 0)] * gained + [(0, 1)] * lost
        return against(answers(*(a for a, _ in rows)), answers(*(b for _, b in rows))).verdict

    assert verdict(200, 0, 0) == "same"
    assert verdict(20, 0, 0) == "unclear"  # twenty rows cannot show it
    assert verdict(150, 1, 40) == "worse"
    assert verdict(150, 40, 1) == "better"


def test_what_is_not_scored_and_what_dense_has_all_wrong():
    assert against(answers(None), answers(None)).retention is None
    found = against(answers(1, 1), answers(0, 0))
    assert (found.retention, found.ci95, found.verdict) == (None, None, None)
    assert (found.gained, found.lost) == (2, 0)


def test_grades_are_compared_by_grades():
    found = against(answers(0.6, 0.9, 1.0, 0.3) * 1, answers(0.9, 0.9, 1.0, 0.6))
    assert (found.gained, found.lost) == (0, 2)
    assert found.retention == pytest.approx(2.8 / 3.4)
    low, high = found.ci95
    assert low < found.retention < high
