"""Verdicts on an arm against dense: what is claimed, and why the rest is not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Memory, Overhead, Ratio, Stats, Timing, Verdict
from v2drop_cli.records.reading import read_report
from v2drop_cli.records.verdicts import (
    FASTER,
    FEW_ROUNDS,
    LESS,
    MORE,
    NO_INTERVAL,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    REACHES_ZERO,
    REASONS,
    SAME,
    SLOWER,
    UNCLEAR,
    VERDICTS,
    WITHIN_NOISE,
)


def against(null, **changes):
    """A profile whose null has that prefill interval, and whose v2drop arm has `changes`."""
    found = None
    if null is not None:
        found = replace(factory.null_comparison(), prefill_speedup=Ratio(1.0, null))
    arm = factory.comparison(**changes)
    return judged(replace(factory.profiled(), comparisons=(arm,), null_comparison=found))


def verdict(report, metric="prefill_speedup"):
    said = report.comparisons[0].verdict(metric)
    return said and (said.verdict, said.reason)


@pytest.mark.parametrize(
    ("interval", "null", "expected"),
    [
        ((1.4, 1.6), (0.98, 1.02), (FASTER, None)),
        ((0.7, 0.9), (0.98, 1.02), (SLOWER, None)),
        ((0.97, 1.05), (0.98, 1.02), (WITHIN_NOISE, REACHES_ONE)),
        ((0.97, 1.0), (0.98, 1.02), (WITHIN_NOISE, REACHES_ONE)),
        # Bounds that print as 1.00 are 1; those that do not are not.
        ((1.0049, 1.05), (1.0, 1.0), (WITHIN_NOISE, REACHES_ONE)),
        ((1.0051, 1.05), (1.0, 1.0), (FASTER, None)),
        ((0.9, 0.9951), (1.0, 1.0), (WITHIN_NOISE, REACHES_ONE)),
        ((0.9, 0.9949), (1.0, 1.0), (SLOWER, None)),
        # The median, here the middle, must lie beyond the floor.
        ((1.02, 1.039), (0.98, 1.03), (WITHIN_NOISE, NOISE_FLOOR)),
        ((1.02, 1.041), (0.98, 1.03), (FASTER, None)),
        # The floor is symmetric: a null that dips to 0.8 may as well have risen to 1.25.
        ((1.2, 1.29), (0.8, 1.01), (WITHIN_NOISE, NOISE_FLOOR)),
        ((0.77, 0.85), (0.99, 1.25), (WITHIN_NOISE, NOISE_FLOOR)),
        ((1.26, 1.3), (0.8, 1.01), (FASTER, None)),
        # A null that leaves 1 itself: nothing is claimed, however large the effect.
        ((2.0, 2.1), (1.01, 1.02), (UNCLEAR, NULL_OFF)),
        ((2.0, 2.1), (0.97, 0.99), (UNCLEAR, NULL_OFF)),
        ((0.99, 1.01), (0.97, 0.99), (UNCLEAR, NULL_OFF)),
        ((1.4, 1.6), None, (FASTER, None)),
    ],
)
def test_the_interval_the_floor_and_the_null_decide(interval, null, expected):
    report = against(null, prefill_speedup=Ratio(sum(interval) / 2, interval))
    if null is None:  # as in a report of `v2drop run`
        report = judged(replace(report, protocol=None))
    assert verdict(report) == expected


def test_a_null_that_leaves_one_is_a_warning_that_names_the_metric():
    report = against((1.03, 1.06))
    [caveat] = [item for item in report.warnings if item.code == "null_off"]
    assert "prefill 1.03 to 1.06" in caveat.message
    assert "decode" not in caveat.message
    assert verdict(report, "decode_speedup") == (WITHIN_NOISE, REACHES_ONE)  # its null is sound
    null = report.null_comparison
    assert null.verdict("prefill_speedup") == Verdict("prefill_speedup", UNCLEAR, NULL_OFF)
    assert null.verdict("decode_speedup") == Verdict("decode_speedup", WITHIN_NOISE, REACHES_ONE)
    assert not [item for item in against((0.98, 1.02)).warnings if item.code == "null_off"]


def with_samples(count):
    """A profile of `count` rounds whose ratios have no intervals."""
    timing = Timing(prefill_s=Stats(0.2, (0.2,) * count))
    arms = tuple(replace(arm, timing=timing) for arm in factory.profiled().arms)
    bare = factory.comparison(prefill_speedup=Ratio(2.0), decode_speedup=None)
    null = replace(factory.null_comparison(), prefill_speedup=Ratio(1.0), decode_speedup=None)
    overhead = Overhead("v2drop", "random", 0.01, None, 0.1)
    return judged(
        replace(
            factory.profiled(),
            arms=arms,
            comparisons=(bare,),
            null_comparison=null,
            protocol=factory.protocol(null_timing=timing, scoring_overheads=(overhead,)),
        )
    )


@pytest.mark.parametrize(
    ("rounds", "reason"), [(1, FEW_ROUNDS), (4, FEW_ROUNDS), (5, NO_INTERVAL), (50, NO_INTERVAL)]
)
def test_without_an_interval_nothing_is_claimed_and_the_reason_is_told(rounds, reason):
    report = with_samples(rounds)
    assert verdict(report) == (UNCLEAR, reason)
    assert report.null_comparison.verdict("prefill_speedup").reason == reason
    [overhead] = report.protocol.scoring_overheads
    assert (overhead.verdict.verdict, overhead.verdict.reason) == (UNCLEAR, reason)
    assert verdict(report, "decode_speedup") is None  # not measured: no verdict at all


@pytest.mark.parametrize(
    ("arm", "null", "reasons"),
    [(4, 50, (FEW_ROUNDS, NO_INTERVAL)), (50, 4, (NO_INTERVAL, FEW_ROUNDS))],
)
def test_the_arm_and_the_null_are_asked_for_their_own_rounds(arm, null, reasons):
    def took(count):
        return Timing(prefill_s=Stats(0.2, (0.2,) * count))

    before = with_samples(50)
    arms = (replace(before.arms[0], timing=took(null)), replace(before.arms[1], timing=took(arm)))
    protocol = replace(before.protocol, null_timing=took(null))
    found = judged(replace(before, arms=arms, protocol=protocol))
    assert verdict(found) == (UNCLEAR, reasons[0])
    assert found.null_comparison.verdict("prefill_speedup").reason == reasons[1]


def test_a_time_that_was_not_measured_leaves_the_others_their_verdicts():
    report = against((0.98, 1.02), prefill_speedup=None)
    assert verdict(report) is None
    assert verdict(report, "generate_speedup") == (FASTER, None)


@pytest.mark.parametrize(
    ("ratio", "null", "expected"),
    [
        (1.2, 1.0, (LESS, None)),
        (0.8, 1.0, (MORE, None)),
        (1.0, 1.0, (SAME, None)),
        (1.004, 1.1, (SAME, None)),
        (1.05, 0.9, (WITHIN_NOISE, NOISE_FLOOR)),  # the null's one reading, made symmetric
        (0.95, 1.1, (WITHIN_NOISE, NOISE_FLOOR)),
        (1.2, 1.1, (LESS, None)),
        (1.2, None, (LESS, None)),
    ],
)
def test_a_peak_is_one_reading_held_against_the_nulls(ratio, null, expected):
    found = replace(factory.null_comparison(), peak_memory_ratio=null)
    arm = factory.comparison(peak_memory_ratio=ratio)
    report = judged(replace(factory.profiled(), comparisons=(arm,), null_comparison=found))
    assert verdict(report, "peak_memory_ratio") == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.96, (WITHIN_NOISE, NOISE_FLOOR)),
        (1.04, (WITHIN_NOISE, NOISE_FLOOR)),
        (0.94, (MORE, None)),
        (1.06, (LESS, None)),
        (1.001, (SAME, None)),
    ],
)
def test_a_process_that_moves_by_a_few_per_cent_shows_nothing(ratio, expected):
    """Its resident set is read once for the arm and once for the null; an allocator counts."""
    memory = Memory(rss_peak_bytes=500_000_000)
    report = factory.profiled()
    arms = tuple(replace(arm, memory=memory) for arm in report.arms)
    null = replace(factory.null_comparison(), peak_memory_ratio=1.0)
    found = (factory.comparison(peak_memory_ratio=ratio),)
    report = replace(report, arms=arms, comparisons=found, null_comparison=null)
    assert verdict(judged(report), "peak_memory_ratio") == expected


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, (SAME, None)), (1.001, (LESS, None)), (0.999, (MORE, None))]
)
def test_a_cache_is_counted_so_any_difference_is_one(ratio, expected):
    report = against((0.5, 2.0), kv_cache_ratio=ratio)
    assert verdict(report, "kv_cache_ratio") == expected


@pytest.mark.parametrize(
    ("bounds", "null", "expected"),
    [
        ((0.001, 0.002), (0.98, 1.02), (MORE, None)),
        ((-0.002, -0.001), (0.98, 1.02), (LESS, None)),
        ((-0.001, 0.002), (0.98, 1.02), (WITHIN_NOISE, REACHES_ZERO)),
        ((0.0, 0.002), (0.98, 1.02), (WITHIN_NOISE, REACHES_ZERO)),
        ((0.001, 0.002), (1.01, 1.02), (UNCLEAR, NULL_OFF)),
    ],
)
def test_scoring_costs_only_what_its_interval_shows(bounds, null, expected):
    overhead = Overhead("v2drop", "random", sum(bounds) / 2, bounds, 0.01)
    before = replace(
        factory.profiled(),
        null_comparison=replace(factory.null_comparison(), prefill_speedup=Ratio(1.0, null)),
        protocol=factory.protocol(scoring_overheads=(overhead,)),
    )
    [found] = judged(before).protocol.scoring_overheads
    assert (found.verdict.verdict, found.verdict.reason) == expected


def test_judging_twice_is_judging_once():
    for report in (factory.profiled(), factory.report(), factory.dense_only(), against((1.1, 1.2))):
        assert judged(judged(report)) == judged(report)


def test_verdicts_are_in_the_document_and_read_back(tmp_path):
    report = judged(factory.profiled())
    document = report.to_json()
    assert document["comparisons"][0]["verdicts"][0] == {
        "metric": "prefill_speedup", "verdict": "faster", "reason": None,
    }  # fmt: skip
    assert document["protocol"]["scoring_overheads"][0]["verdict"]["verdict"] == "more"
    file = tmp_path / "report.json"
    file.write_text(report.dumps(), encoding="utf-8")
    assert read_report(file) == report


def test_a_report_from_before_verdicts_is_read_and_judged_anew(tmp_path):
    new = judged(factory.profiled())
    document = new.to_json()
    for comparison in (*document["comparisons"], document["null_comparison"]):
        del comparison["verdicts"]
    del document["protocol"]["scoring_overheads"][0]["verdict"]
    file = tmp_path / "old.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    old = read_report(file)
    assert old.comparisons[0].verdicts == ()
    assert judged(old) == new


def test_only_the_words_of_the_records_are_used():
    for report in (factory.profiled(), factory.four_arms(), factory.missing_values()):
        for comparison in judged(report).comparisons:
            for said in comparison.verdicts:
                assert said.verdict in VERDICTS
                assert (said.reason in REASONS) == (said.verdict in (WITHIN_NOISE, UNCLEAR))
                assert getattr(comparison, said.metric) is not None
