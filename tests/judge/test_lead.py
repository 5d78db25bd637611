"""Which arm is the fastest, and which of them could be as well: by samples written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.measure.stats import paired_ratio
from v2drop_cli.records import Lead, Ratio, Stats, Timing
from v2drop_cli.records.reading import validate

NOISE = (0.97, 0.99, 1.0, 1.01, 1.04)
# The same machine in the same rounds: what is paired with the rounds above has hardly any noise.
DENSE_S = 0.4


def took(seconds, noise=NOISE):
    return Stats(seconds, tuple(seconds * one for one in noise))


def report(arms, **changes):
    """Dense, and arms of ``(label, generate seconds, same answer[, noise])``, judged."""
    dense = factory.dense(timing=Timing(prefill_s=took(0.2), generate_s=took(DENSE_S)))
    found, comparisons = [], []
    for label, seconds, same, *noise in arms:
        timing = Timing(prefill_s=took(0.2), generate_s=took(seconds, *noise))
        found.append(factory.dropped(label, timing=timing))
        ratio = paired_ratio(dense.timing.generate_s.samples, timing.generate_s.samples)
        comparisons.append(
            factory.comparison(
                label,
                prefill_speedup=Ratio(1.0, (0.99, 1.01)),
                decode_speedup=None,
                generate_speedup=ratio,
                answers_identical=same,
            )
        )
    whole = factory.report(arms=(dense, *found), comparisons=tuple(comparisons), **changes)
    return judged(whole)


# In other rounds than dense's slow ones: paired, it is faster in some and slower in others.
OTHERWISE = (1.04, 1.01, 0.97, 0.99, 1.0)


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        # Shown to be faster than the next.
        ([("a", 0.2, True), ("b", 0.3, True)], Lead("a", "generate_speedup", True, ())),
        # The median is a little smaller, and in the noise of the null: nobody knows.
        ([("a", 0.299, True), ("b", 0.3, True)], Lead("a", "generate_speedup", True, ("b",))),
        # The medians are 3 % apart, but from round to round it is one or the other.
        ([("a", 0.3, True, OTHERWISE), ("b", 0.309, True)],
         Lead("a", "generate_speedup", True, ("b",))),
        # Only what it is not shown to beat is tied, in the order of the medians.
        ([("c", 0.35, True), ("b", 0.301, True), ("a", 0.3, True), ("d", 0.302, True)],
         Lead("a", "generate_speedup", True, ("b", "d"))),
        # Another answer does not compete with the same one, nor does what is not faster.
        ([("wrong", 0.1, False), ("b", 0.3, True), ("slow", 0.5, True)],
         Lead("b", "generate_speedup", True, ())),
        # If none is right, all that are faster compete.
        ([("wrong", 0.1, False), ("slow", 0.5, True)],
         Lead("wrong", "generate_speedup", False, ())),
        ([("slow", 0.5, True), ("same", DENSE_S, True)], None),
        ([("alone", 0.2, True)], None),
    ],
)  # fmt: skip
def test_the_fastest_is_named_with_all_that_may_be_as_fast(arms, expected):
    found = report(arms)
    assert found.lead == expected
    assert judged(found) == found
    validate(found.to_json())


def test_answers_of_dummy_weights_decide_nothing():
    arms = [("wrong", 0.1, False), ("right", 0.3, True)]
    request = factory.request(weights="dummy")
    assert report(arms, request=request).lead == Lead("wrong", "generate_speedup", False, ())


def test_where_only_the_prefill_shows_a_gain_the_prefill_decides():
    found = report([("a", DENSE_S, True), ("b", DENSE_S, True)])
    ratios = ((1.5, (1.4, 1.6)), (2.0, (1.9, 2.1)))
    prefills = (took(0.2 / 1.5), took(0.1))
    comparisons = tuple(
        replace(item, prefill_speedup=Ratio(*ratio))
        for item, ratio in zip(found.comparisons, ratios, strict=True)
    )
    arms = tuple(
        replace(arm, timing=replace(arm.timing, prefill_s=prefill))
        for arm, prefill in zip(found.arms[1:], prefills, strict=True)
    )
    found = judged(replace(found, arms=(found.arms[0], *arms), comparisons=comparisons))
    assert found.lead == Lead("b", "prefill_speedup", True, ())


def test_random_that_others_are_held_against_does_not_compete():
    arms = [("random", 0.1, True), ("a", 0.2, True), ("b", 0.3, True)]
    plain = report(arms)
    assert plain.lead.arm == "random"
    bar = (factory.comparison("a", reference="random"),)
    assert report(arms, random_comparisons=bar).lead == Lead("a", "generate_speedup", True, ())


def test_an_arm_that_was_not_timed_is_not_tied():
    """A claim without samples, as in a file that somebody shortened."""
    found = report([("a", 0.2, True), ("b", 0.2001, True)])
    assert found.lead.tied == ("b",)
    bare = replace(found.arms[2], timing=Timing())
    assert judged(replace(found, arms=(*found.arms[:2], bare))).lead.tied == ()
