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
from v2drop_cli.measure.stats import median_interval, outliers, paired_ratio, summarize
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


def test_few_or_ordinary_samples_have_no_outliers():
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
