"""One arm against the reference, on numbers that can be told by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.bench.comparison import (
    compare,
    first_divergence,
    random_comparisons,
    scoring_overheads,
    token_agreement,
)
from v2drop_cli.records import Answer, Limit, Memory, Overhead, Ratio, Stats, Timing

ROUNDS = (1.0, 2.0, 3.0, 4.0, 5.0)


def took(scale: float, rounds: tuple[float, ...] = ROUNDS) -> Stats:
    return Stats(3.0 * scale, tuple(scale * second for second in rounds))


def timing(prefill: float, decode: float, generate: float) -> Timing:
    return Timing(
        prefill_s=took(prefill), decode_s_per_token=took(decode), generate_s=took(generate)
    )


def limit(flops: int) -> Limit:
    return Limit(flops, 1, 1, 1, None)


DENSE = factory.dense(
    timing=timing(8.0, 6.0, 4.0),
    memory=Memory(1, 900, 6000, None, None, None),
    limit=limit(4000),
    answer=Answer("", (5, 6, 7, 8)),
)
FASTER = factory.dropped(
    timing=timing(4.0, 2.0, 1.0),
    memory=Memory(1, 300, 1000, None, None, None),
    limit=limit(1000),
    answer=Answer("", (5, 9, 7)),
)


def test_every_ratio_is_reference_over_arm():
    found = compare(DENSE, FASTER)
    assert (found.arm, found.reference) == ("v2drop", "dense")
    assert found.prefill_speedup == Ratio(2.0, (2.0, 2.0))
    assert found.decode_speedup == Ratio(3.0, (3.0, 3.0))
    assert found.generate_speedup == Ratio(4.0, (4.0, 4.0))
    assert (found.peak_memory_ratio, found.kv_cache_ratio) == (6.0, 3.0)
    assert (found.ideal_prefill_speedup, found.realised_over_ideal) == (4.0, 0.5)
    assert (found.answers_identical, found.token_agreement) == (False, 0.5)
    assert found.first_divergence == 1


def test_only_the_same_tokens_are_the_same_answer():
    assert not compare(DENSE, FASTER).answers_identical
    assert not compare(FASTER, DENSE).answers_identical
    longer = replace(DENSE, answer=Answer("", (*DENSE.answer.token_ids, 9)))
    assert not compare(DENSE, longer).answers_identical
    assert not compare(longer, DENSE).answers_identical


def test_without_intervals_the_medians_are_the_same():
    found = compare(DENSE, FASTER, intervals=False)
    assert found.prefill_speedup == Ratio(2.0, None)
    assert found.decode_speedup == Ratio(3.0, None)
    assert found.generate_speedup == Ratio(4.0, None)


def test_an_arm_like_the_reference():
    found = compare(DENSE, DENSE)
    assert (found.prefill_speedup, found.peak_memory_ratio) == (Ratio(1.0, (1.0, 1.0)), 1.0)
    assert (found.answers_identical, found.token_agreement, found.first_divergence) == (
        True, 1.0, None,
    )  # fmt: skip


@pytest.mark.parametrize("bare", ["reference", "arm"])
def test_what_either_did_not_measure_is_unknown(bare):
    parts = {"timing": Timing(), "memory": Memory(), "limit": None}
    ours, theirs = DENSE, FASTER
    if bare == "reference":
        ours = replace(ours, **parts)
    else:
        theirs = replace(theirs, **parts)
    found = compare(ours, theirs)
    assert (found.prefill_speedup, found.decode_speedup, found.generate_speedup) == (None,) * 3
    assert (found.peak_memory_ratio, found.kv_cache_ratio) == (None, None)
    assert (found.ideal_prefill_speedup, found.realised_over_ideal) == (None, None)


@pytest.mark.parametrize(
    ("flops", "prefill", "ideal", "realised"),
    [
        (1000, None, 4.0, None),  # the ideal is known without a speed-up
        (None, took(4.0), None, None),  # a speed-up without an ideal
        (None, None, None, None),
        (0, took(4.0), None, None),
    ],
)
def test_realised_over_ideal_takes_both(flops, prefill, ideal, realised):
    arm = replace(
        FASTER,
        timing=Timing(prefill_s=prefill),
        limit=None if flops is None else limit(flops),
    )
    found = compare(DENSE, arm)
    assert (found.ideal_prefill_speedup, found.realised_over_ideal) == (ideal, realised)
    assert (found.prefill_speedup is None) == (prefill is None)


def test_a_cache_of_nothing_has_no_ratio():
    none = replace(FASTER, memory=Memory(1, 0, 0, None, None, None))
    found = compare(DENSE, none)
    assert (found.peak_memory_ratio, found.kv_cache_ratio) == (None, None)
    found = compare(none, DENSE)
    assert (found.peak_memory_ratio, found.kv_cache_ratio) == (None, None)


# What scoring costs ---------------------------------------------------------------------------


def arm(method: str, prefill: Stats | None, schedule: str = "3:0.5", label: str = ""):
    return factory.dropped(
        label or method, method=method, schedule=schedule, timing=Timing(prefill_s=prefill)
    )


def costs(*arms, **options):
    return scoring_overheads(DENSE, arms, "random", **options)


def test_scoring_is_what_an_arm_takes_longer_than_random_selection():
    ours, bar = arm("v2drop", took(5.0)), arm("random", took(4.0), label="random 3:0.5")
    middle = Overhead("v2drop", "random 3:0.5", 3.0, (1.0, 5.0), 3.0 / 24.0)
    assert costs(ours, bar) == costs(bar, ours) == (middle,)
    assert costs(ours, bar, intervals=False) == (replace(middle, ci95=None),)


def test_only_random_selection_at_the_same_schedule_is_the_bar():
    elsewhere = arm("random", took(4.0), "3:0.25", "random 3:0.25")
    ours = arm("v2drop", took(5.0))
    assert costs(ours) == ()
    assert costs(ours, elsewhere) == ()
    here = arm("random", took(3.0))
    uniform = arm("uniform", took(2.0), "3:0.25")
    found = costs(elsewhere, ours, here, uniform)
    assert [(item.arm, item.random_arm, item.prefill_s) for item in found] == [
        ("v2drop", "random", 6.0), ("uniform", "random 3:0.25", -6.0),
    ]  # fmt: skip


def test_every_other_method_is_held_against_random_whatever_its_name():
    bar = arm("random", took(3.0))
    found = costs(arm("attention", took(4.0)), bar, arm("zebra", took(5.0)))
    assert [item.arm for item in found] == ["attention", "zebra"]


def test_an_arm_that_was_not_timed_is_passed_over_and_the_others_are_not():
    bar, ours = arm("random", took(4.0)), arm("v2drop", took(5.0))
    assert [item.arm for item in costs(arm("uniform", None), bar, ours)] == ["v2drop"]
    assert costs(ours, arm("random", None)) == ()
    untimed = replace(DENSE, timing=Timing())
    assert scoring_overheads(untimed, (ours, bar), "random") == ()
    instant = replace(DENSE, timing=Timing(prefill_s=Stats(0.0, (0.0,) * 5)))
    assert scoring_overheads(instant, (ours, bar), "random") == ()


# Against random selection ------------------------------------------------------------------------


def keeps(method: str, average: float, schedule: str = "3:0.5", label: str = ""):
    found = arm(method, took(4.0), schedule, label)
    return replace(found, layer_average_vision_tokens=average)


def held(*arms, **options):
    return [(item.arm, item.reference) for item in random_comparisons(arms, **options)]


def test_random_selection_at_the_same_schedule_is_what_an_arm_is_held_against():
    bars = [keeps("random", 200.0, "1:0.5", "r1"), keeps("random", 200.0, "2:0.5", "r2")]
    ours = keeps("v2drop", 200.0, "2:0.5")
    assert held(*bars, ours) == [("v2drop", "r2")]
    assert held(*bars) == []
    assert held(ours) == []


def test_at_other_layers_it_is_random_selection_that_keeps_as_many_tokens():
    bars = [keeps("random", 192.0, "1:9t", "a"), keeps("random", 96.0, "1:5t", "b")]
    near = [("visionzip", 191.0, "a"), ("dart", 193.9, "a"), ("vtw", 95.5, "b")]
    arms = [
        keeps(method, average, f"0:{place}t") for place, (method, average, _) in enumerate(near)
    ]
    assert held(*bars, *arms) == [(method, bar) for method, _, bar in near]
    assert held(*bars, keeps("pact", 190.0, "0:1t"), keeps("holov", 140.0, "0:2t")) == []
    closer = keeps("random", 191.5, "1:8t", "c")
    assert held(*bars, closer, keeps("fastv", 191.4, "2:1t")) == [("fastv", "c")]


def test_what_is_faster_than_random_is_above_one():
    bar, ours = arm("random", took(4.0)), arm("v2drop", took(5.0))
    [found] = random_comparisons((DENSE, bar, ours))
    assert found.prefill_speedup == Ratio(0.8, (0.8, 0.8))
    [found] = random_comparisons((DENSE, bar, ours), intervals=False)
    assert found.prefill_speedup == Ratio(0.8, None)


# Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "tokens", "share", "first"),
    [
        ((), (), 1.0, None),
        ((5,), (5,), 1.0, None),
        ((5, 6, 7, 8), (5, 9, 7), 0.5, 1),
        ((5,), (5, 6), 0.5, 1),
        ((5, 6), (5,), 0.5, 1),
        ((5,), (), 0.0, 0),
        ((), (5,), 0.0, 0),
        ((1, 2, 3, 4), (9, 2, 3, 4), 0.75, 0),
        ((1, 2, 3, 4), (1, 2, 3, 9), 0.75, 3),
        ((1, 2, 3), (2, 3, 1), 0.0, 0),
        ((5, 9), (5, 6), 0.5, 1),
        (tuple(range(70000, 70003)), tuple(map(int, ["70000", "70001", "70002"])), 1.0, None),
    ],
)
def test_where_answers_part(expected, tokens, share, first):
    assert token_agreement(expected, tokens) == share
    assert first_divergence(expected, tokens) == first
