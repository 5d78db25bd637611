"""Claims, floors and gate outcomes, on their boundaries."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.ruler import (
    gate_outcome,
    gate_result,
    inside,
    noise_floors,
    null_interval,
    paired_side,
    reaches_one,
    side,
    symmetric,
)
from v2drop_cli.records import Ratio, Stats, Timing
from v2drop_cli.records.changes import FAILED, HELD, UNDECIDED, GateResult
from v2drop_cli.records.metrics import metric

# Halves and quarters are exact, so that a bound on the edge is on the edge.
EDGE = 1 + 0.25
PEAK = "peak_memory"


@pytest.mark.parametrize(
    ("interval", "floor", "expected"),
    [
        ((1.3, 1.4), None, 1),
        ((0.5, 0.7), None, -1),
        ((EDGE, 1.4), None, 0),  # on the margin's edge is not beyond it
        ((0.5, 1 / EDGE), None, 0),
        ((0.5, 1.4), None, 0),
        ((1.0, 1.0), None, 0),
        ((1.5, 1.6), (0.625, 1.5), 0),  # nor is the edge of the floor
        ((1.5, 1.6), (0.75, 1.25), 1),
        ((0.5, 0.625), (0.625, 1.6), 0),
        ((0.5, 0.6), (0.625, 1.6), -1),
        ((0.7, 0.75), (0.9, 1.1), -1),  # the margin is wider than the floor
        ((1.2, 1.4), (0.9, 1.1), 0),
        ((0.7, 0.85), (0.9, 1.1), 0),
    ],
)
def test_a_side_is_claimed_only_beyond_margin_and_floor(interval, floor, expected):
    assert side(interval, 0.25, floor) == expected


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        (Ratio(1.5, (1.25, 1.75)), None, 1),
        (Ratio(1.5, (1.25, 1.75)), (0.75, 1.25), 1),
        (Ratio(1.5, (1.25, 1.75)), (0.625, 1.5), 0),  # the median on the floor's edge
        (Ratio(1.5, (1.25, 1.75)), (0.625, 1.4375), 1),  # the interval may reach into the floor
        (Ratio(0.5, (0.25, 0.75)), (0.5625, 1.75), -1),
        (Ratio(0.5, (0.25, 0.75)), (0.5, 2.0), 0),
        (Ratio(1.5, (0.5, 1.75)), None, 0),
        (Ratio(1.5), None, 0),
        (Ratio(0.5, (1.25, 1.75)), None, 0),  # only a tampered report has its median outside
    ],
)
def test_a_paired_ratio_needs_its_interval_beyond_one_and_its_median_beyond_the_floor(
    ratio, floor, expected
):
    assert paired_side(ratio, floor) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.0, 1.0), True),
        ((1 / EDGE, EDGE), True),  # on the edge is inside
        ((1 / EDGE, EDGE + 1e-9), False),
        ((1 / EDGE - 1e-9, EDGE), False),
        ((1.3, 1.4), False),
        ((0.5, 0.6), False),
    ],
)
def test_inside_the_margin(interval, expected):
    assert inside(interval, 0.25) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.9, 1.1), True),
        ((1.004, 1.1), True),
        ((1.0052, 1.1), False),
        ((0.9, 0.996), True),
        ((0.9, 0.9949), False),
    ],
)
def test_half_a_percent_reaches_one(interval, expected):
    assert reaches_one(interval) == expected


# Gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "floor", "expected"),
    [
        ((3.0, 4.0), None, FAILED),
        ((0.5, 1.0), None, HELD),
        ((1.0, 3.0), None, UNDECIDED),
        ((2.0, 3.0), None, UNDECIDED),  # the limit itself does not meet it
        ((0.5, 2.0), None, HELD),
        # The limit inside the floor: decided only by an interval that is wholly outside.
        ((3.0, 4.0), (0.25, 4.0), UNDECIDED),
        ((4.0, 5.0), (0.25, 4.0), UNDECIDED),  # on its edge is not outside
        ((4.5, 5.0), (0.25, 4.0), FAILED),
        ((0.1, 0.25), (0.25, 4.0), UNDECIDED),
        ((0.1, 0.2), (0.25, 4.0), HELD),
        ((0.1, 1.0), (0.25, 4.0), UNDECIDED),
        # The limit on the floor's edge, or beyond it: the floor does not matter.
        ((3.0, 4.0), (0.5, 2.0), FAILED),
        ((0.6, 1.0), (0.5, 2.0), HELD),
        ((3.0, 4.0), (2.0, 5.0), FAILED),
        ((0.6, 1.0), (0.5, 1.5), HELD),
        ((2.5, 3.0), (2.25, 5.0), FAILED),
    ],
)
def test_outcomes_of_a_gate_that_fails_above_two(interval, floor, expected):
    assert gate_outcome(lambda ratio: ratio > 2, 2.0, interval, floor) == expected


def test_the_worst_arm_decides_and_only_arms_like_it_are_told():
    arms = [(HELD, "a"), (UNDECIDED, "b"), (FAILED, "c"), (FAILED, "d"), (UNDECIDED, "e")]
    assert gate_result("gate", arms) == GateResult("gate", True, "c; d", FAILED)
    assert gate_result("gate", arms[:2]) == GateResult("gate", False, "b", UNDECIDED)
    assert gate_result("gate", arms[:1]) == GateResult("gate", False, None, HELD)
    assert gate_result("gate", iter([])) == GateResult("gate", False, None, HELD)


# The noise floor ------------------------------------------------------------------------------


def test_a_floor_is_symmetric_about_one_and_as_wide_as_the_widest():
    assert symmetric([(0.5, 1.0)]) == (0.5, 2.0)
    assert symmetric([(1.0, 2.0)]) == (0.5, 2.0)
    assert symmetric([(0.9, 1.1), (0.25, 2.0)]) == (0.25, 4.0)
    assert symmetric([(1.0, 1.0)]) == (1.0, 1.0)
    low, high = symmetric([(1e-300, 1.0)])
    assert (low, high) == (pytest.approx(1e-6, rel=1e-9), pytest.approx(1e6, rel=1e-9))


def with_null(**ratios):
    nothing = dict.fromkeys(
        ("prefill_speedup", "decode_speedup", "generate_speedup", "peak_memory_ratio")
    )
    null = replace(factory.null_comparison(), **{**nothing, **ratios})
    return factory.report(null_comparison=null, protocol=None)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("prefill_speedup", "prefill"),
        ("decode_speedup", "decode"),
        ("generate_speedup", "generate"),
    ],
)
def test_each_speedup_of_the_null_is_the_floor_of_its_own_time(field, name):
    report = with_null(**{field: Ratio(1.0, (0.8, 1.1))})
    assert null_interval(report, metric(name)) == (0.8, 1.1)
    assert noise_floors(report) == {name: (0.8, 1.25)}


def test_the_peak_of_the_null_is_one_reading():
    assert null_interval(with_null(peak_memory_ratio=0.8), metric(PEAK)) == (0.8, 0.8)
    assert noise_floors(with_null(peak_memory_ratio=0.8)) == {PEAK: (0.8, 1.25)}
    assert noise_floors(factory.report(null_comparison=None)) == {}


@pytest.mark.parametrize("interval", [(0.0, 1.0), (-1.0, 2.0), None])
def test_a_null_that_no_ratio_has_is_none(interval):
    assert noise_floors(with_null(prefill_speedup=Ratio(1.0, interval))) == {}
    assert noise_floors(with_null(peak_memory_ratio=0.0)) == {}


def test_the_widest_null_of_several_reports_is_the_floor():
    a = with_null(prefill_speedup=Ratio(1.0, (0.9, 1.1)))
    b = with_null(prefill_speedup=Ratio(1.0, (0.8, 1.0)), peak_memory_ratio=1.0)
    assert noise_floors(a, b) == {"prefill": (0.8, 1.25), PEAK: (1.0, 1.0)}
    assert noise_floors(b, factory.report(null_comparison=None))["prefill"] == (0.8, 1.25)


def samples(*values):
    return Timing(vision_s=Stats(1.0, values))


def timed(dense, null):
    """A report with vision times of dense and of its null, whose ratio is stored nowhere."""
    label = json.loads('"dense"')  # as read from a file: another object than the constant
    others = (factory.dropped(), factory.dropped("attention"))  # behind it and before it by name
    arms = (*others, factory.dense(label=label, timing=dense))
    protocol = None if null is None else factory.protocol(null_timing=null)
    return factory.report(arms=arms, protocol=protocol, null_comparison=None)


def test_the_floor_of_a_time_that_has_no_stored_ratio_is_made_of_the_samples():
    report = timed(samples(2.0, 2.0, 4.0, 4.0, 2.0), samples(1.0, 1.0, 2.0, 2.0, 1.0))
    assert null_interval(report, metric("vision")) == (2.0, 2.0)
    assert noise_floors(report) == {"vision": (0.5, 2.0)}


@pytest.mark.parametrize(
    "report",
    [
        timed(samples(*[1.0] * 5), None),
        timed(samples(*[1.0] * 5), Timing()),
        timed(Timing(), samples(*[1.0] * 5)),
        timed(samples(*[1.0] * 5), samples(*[1.0] * 6)),
        timed(samples(*[1.0] * 4), samples(*[1.0] * 4)),
        replace(timed(samples(*[1.0] * 5), samples(*[1.0] * 5)), arms=()),
    ],
)
def test_without_samples_in_pairs_there_is_no_floor(report):
    assert null_interval(report, metric("vision")) is None


def test_every_time_of_the_null_has_its_own_floor():
    def shifted(factor):
        fields = (
            "vision_s", "prefill_s", "time_to_first_token_s", "decode_s_per_token",
            "generate_s", "end_to_end_s",
        )  # fmt: skip
        return Timing(
            **{name: Stats(1.0, (factor**place,) * 5) for place, name in enumerate(fields, 1)}
        )

    found = noise_floors(timed(shifted(2.0), shifted(1.0)))
    assert {name: round(math.log2(high)) for name, (_, high) in found.items()} == {
        "vision": 1, "prefill": 2, "first_token": 3, "decode": 4, "generate": 5, "end_to_end": 6,
    }  # fmt: skip
