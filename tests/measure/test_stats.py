from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from v2drop_cli.measure import stats
from v2drop_cli.measure.stats import (
    median_interval,
    medians_only,
    outliers,
    paired_difference,
    paired_ratio,
    ratio_of_medians,
    summarize,
)
from v2drop_cli.records import Ratio, Stats


def test_summary_keeps_the_raw_samples_in_their_order():
    summary = summarize([3, 1.0, 2.0, 5.0, 4.0])
    assert (summary.median, summary.samples) == (3.0, (3.0, 1.0, 2.0, 5.0, 4.0))
    assert summary.ci95 == (1.0, 5.0)


@pytest.mark.parametrize("samples", [[4.0], [4.0, 6.0], [1.0, 2.0, 3.0, 4.0]])
def test_too_few_samples_have_no_interval(samples):
    summary = summarize(samples)
    assert summary == Stats(statistics.median(samples), tuple(samples), None)


@pytest.mark.parametrize("count", [5, 6, 50])
def test_constant_data_has_an_interval_of_no_width(count):
    assert summarize([0.25] * count) == Stats(0.25, (0.25,) * count, (0.25, 0.25))


@pytest.mark.parametrize(
    "samples", [[1, 1, 1, 1, 2], [1, 2, 2, 2, 2, 2], [0, 0, 0, 0, 1e-300], [1, 2, 3, 4, 5]]
)
def test_nearly_degenerate_data_warns_nobody_and_has_a_finite_interval(samples):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        low, high = median_interval(samples)
    assert caught == []
    assert min(samples) <= low <= statistics.median(samples) <= high <= max(samples)


def test_percentile_steps_in_where_bca_has_no_answer(monkeypatch):
    asked = []

    def bootstrap(samples, method):
        asked.append(method)
        return (math.nan, 1.0) if method == "BCa" else (1.0, 2.0)

    monkeypatch.setattr(stats, "_bootstrap", bootstrap)
    assert median_interval([1, 2, 3, 4, 5]) == (1.0, 2.0)
    assert asked == ["BCa", "percentile"]
    monkeypatch.setattr(stats, "_bootstrap", lambda samples, method: (math.nan, math.nan))
    assert median_interval([1, 2, 3, 4, 5]) is None


def test_the_interval_is_the_same_every_time():
    samples = [random.Random(1).gauss(10, 1) for _ in range(12)]
    assert median_interval(samples) == median_interval(samples)


def test_symmetric_data_has_a_symmetric_interval():
    samples = [float(x) for x in range(-10, 11)]
    low, high = median_interval(samples)
    assert low == pytest.approx(-high, abs=1.01)
    mirrored = median_interval([-x for x in samples])
    assert mirrored == pytest.approx((-high, -low), abs=1.01)


def test_the_interval_scales_with_the_unit():
    samples = [random.Random(2).gauss(10, 1) for _ in range(15)]
    in_ms = median_interval([sample * 1e3 for sample in samples])
    assert in_ms == pytest.approx([edge * 1e3 for edge in median_interval(samples)])


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    draw = random.Random(20)
    trials = 150
    covered = 0
    for _ in range(trials):
        low, high = median_interval([draw.gauss(5.0, 1.0) for _ in range(15)])
        covered += low <= 5.0 <= high
    assert 0.88 <= covered / trials <= 0.99


def test_missing_data_stays_missing():
    assert summarize(None) is None
    assert summarize([1.0, None, 2.0]) is None
    assert paired_ratio(None, [1.0]) is None
    assert paired_ratio([1.0], None) is None
    assert paired_ratio([1.0, None], [1.0, 2.0]) is None
    assert paired_ratio([], []) is None
    assert outliers(None) == ()


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_samples_that_mean_nothing_are_refused(samples):
    with pytest.raises(ValueError, match="samples"):
        summarize(samples)


def test_ratios_are_paired_within_blocks():
    # The machine slows down tenfold, block by block; the pairs do not notice.
    reference = [2.0, 4.0, 8.0, 20.0, 30.0]
    arm = [1.0, 2.0, 4.0, 10.0, 15.0]
    assert paired_ratio(reference, arm) == Ratio(2.0, (2.0, 2.0))
    assert paired_ratio([3.0, 4.0], [1.0, 2.0]) == Ratio(2.5, None)


def test_intervals_are_left_out_where_nobody_asks_for_them():
    twice = [[2.0, 4.0, 6.0, 8.0, 10.0], [1.0, 2.0, 3.0, 4.0, 5.0]]
    assert paired_ratio(*twice, interval=False) == Ratio(2.0, None)
    assert paired_difference(*twice, interval=False) == (3.0, None)
    assert medians_only(iter([3.0, 1.0, 2.0, 5.0, 4.0])) == Stats(3.0, (3.0, 1.0, 2.0, 5.0, 4.0))
    assert medians_only([]) is None
    assert medians_only([1.0, None]) is None


def test_differences_are_paired_within_blocks():
    reference = [1.0, 2.0, 4.0, 10.0, 15.0]
    assert paired_difference([x + 3 for x in reference], reference) == (3.0, (3.0, 3.0))
    assert paired_difference([4.0, 4.0], [1.0, 2.0]) == (2.5, None)
    with pytest.raises(ValueError, match="no samples"):
        paired_difference([], [])
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


def test_a_ratio_is_unknown_where_either_series_is():
    assert paired_ratio([1.0, 2.0], [1.0, None]) is None
    assert paired_ratio([], []) is None
    with pytest.raises(ValueError, match="1 reference samples, but 2"):
        paired_ratio([1.0], [1.0, 2.0])
    assert paired_ratio([2.0] * 300, [1.0] * 300) == Ratio(2.0, (2.0, 2.0))


# Two sets of samples, nothing paired --------------------------------------------------------

NEAR_ONE = [1.0, 1.1, 0.9, 1.05, 0.95]
NEAR_TWO = [2.0, 2.2, 1.8, 1.9, 2.1]


@pytest.mark.parametrize(
    ("reference", "other", "expected"),
    [
        (None, [1.0], None),
        ([1.0], None, None),
        ([], [1.0], None),
        ([0.0] * 5, [1.0] * 5, None),
        ([1.0] * 5, [0.0] * 5, None),
        ([-1.0] * 5, [1.0] * 5, None),
        ([1.0] * 5, [-1.0] * 5, None),
        ([5e-324] * 5, [1e308] * 5, None),  # the ratio is not finite
        ([1e308] * 5, [5e-324] * 5, None),  # its inverse is not
        ([0.5] * 5, [2.0] * 5, Ratio(4.0, (4.0, 4.0))),
        ([0.5, 0.5], [1.5, 2.5], Ratio(4.0, None)),
        (NEAR_ONE, NEAR_TWO[:4], Ratio(1.95, None)),  # too few for an interval on one side
        (NEAR_ONE[:4], NEAR_TWO, Ratio(2.0 / 1.025, None)),
        ([0.5] * 6, [1.0] * 7, Ratio(2.0, (2.0, 2.0))),
        ([0.5] * 4, [1.0] * 4, Ratio(2.0, None)),
        # Resamples with a zero median have no ratio: no interval, rather than a wrong one.
        ([0.0, 0.0, 1.0, 2.0, 3.0], [1.0] * 5, Ratio(1.0, None)),
    ],
)
def test_ratios_of_medians_that_can_be_told_exactly(reference, other, expected):
    assert ratio_of_medians(reference, other) == expected


@pytest.mark.parametrize("samples", [NEAR_TWO, [2.0] * 5])
def test_swapping_the_two_inverts_the_ratio_and_its_interval(samples):
    there, back = ratio_of_medians(NEAR_ONE, samples), ratio_of_medians(samples, NEAR_ONE)
    assert there.median == 2.0
    assert there.ci95[0] < 2.0 < there.ci95[1]
    assert there.ci95[0] > 1.5
    assert there.ci95[1] < 2.5
    assert back.median == 0.5
    assert back.ci95 == pytest.approx((1 / there.ci95[1], 1 / there.ci95[0]), rel=1e-12)


def test_each_set_is_resampled_and_the_percentile_steps_in(monkeypatch):
    asked = []

    def bootstrap(below, above, method):
        asked.append((below, above, method))
        return (math.nan, 1.0) if method == "BCa" else (1.0, 2.0)

    monkeypatch.setattr(stats, "_bootstrap_ratio", bootstrap)
    assert ratio_of_medians(NEAR_ONE, NEAR_TWO).ci95 == (1.0, 2.0)
    assert asked == [(NEAR_ONE, NEAR_TWO, "BCa"), (NEAR_ONE, NEAR_TWO, "percentile")]
    assert ratio_of_medians(NEAR_TWO, NEAR_ONE).ci95 == (0.5, 1.0)
    for bad in ((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf)):
        monkeypatch.setattr(stats, "_bootstrap_ratio", lambda *_, bad=bad: bad)
        assert ratio_of_medians(NEAR_ONE, NEAR_TWO) == Ratio(2.0, None)
    monkeypatch.setattr(stats, "_bootstrap_ratio", lambda *_: (2.0, 2.0))
    assert ratio_of_medians(NEAR_ONE, NEAR_TWO).ci95 == (2.0, 2.0)


def test_fewer_samples_have_an_interval_where_the_caller_says_so():
    assert median_interval([1.0, 2.0, 3.0], fewest=4) is None
    assert median_interval([1.0, 2.0, 3.0], fewest=3) == (1.0, 3.0)
    assert median_interval([2, 2, 2], fewest=3) == (2.0, 2.0)


def test_ratio_of_an_arm_with_itself_is_one():
    samples = [random.Random(3).gauss(10, 1) for _ in range(9)]
    assert paired_ratio(samples, samples) == Ratio(1.0, (1.0, 1.0))


def test_blocks_that_do_not_match_are_a_bug():
    with pytest.raises(ValueError, match="2 reference samples, but 1 of the arm"):
        paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize("arm", [[1.0, 0.0, 1.0], [1.0, math.nan, 1.0], [1.0, 1e-320, 1.0]])
def test_a_ratio_that_is_not_finite_is_unknown(arm):
    assert paired_ratio([1.0, 1.0, 1.0], arm) is None


def test_outliers_are_flagged_by_place():
    samples = [10.0, 10.1, 9.9, 30.0, 10.05, 9.95, 0.1]
    assert outliers(samples) == (3, 6)
    assert summarize(samples).samples == tuple(samples)


def test_an_outlier_among_equal_samples_is_seen():
    assert outliers([1.0] * 9 + [5.0]) == (9,)
    assert outliers([1.0] * 9) == ()


def test_an_outlier_is_three_and_a_half_deviations_away():
    """The median deviation is 1, which makes 1 / 0.6745 a standard deviation: 5.19 is the limit."""
    around = [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert outliers([*around, 5.15, -5.15]) == ()
    assert outliers([*around, 5.25, -5.25]) == (5, 6)
    assert outliers([0.0, 1.0, 100.0]) == (2,)


def test_one_sample_among_equal_ones_is_an_outlier_from_five_on():
    """Its share of the mean deviation is 1 / n: 1 > 3.5 / (0.7979 n) from n = 4.4."""
    assert outliers([0.0] * 3 + [7.0]) == ()
    assert outliers([0.0] * 4 + [7.0]) == (4,)


def test_few_or_ordinary_samples_have_no_outliers():
    assert outliers([]) == ()
    assert outliers([3.0]) == ()
    assert outliers([1.0, 100.0]) == ()
    assert outliers([10.0, 10.2, 9.7, 10.1, 9.9, 10.3]) == ()


def test_the_room_imports_neither_scipy_nor_transformers():
    program = (
        "import sys, torch\n"
        "from v2drop_cli.measure import clock, environment, memory, nvml, stats, trials\n"
        "environment.describe(torch.device('cpu'))\n"
        "sys.exit(', '.join({'scipy', 'transformers'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
