"""Gates on changes, each made by hand: the outcome of one arm, and of several."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.judge.change_gates import judged_change, parse_change_gates
from v2drop_cli.records.changes import FAILED, HELD, UNDECIDED, ArmChanges, Change


def arm(*changes, label="v2drop", agreement=1.0):
    return ArmChanges(label, "same", agreement, None, changes)


def time(interval, *, noise=None, ratio=None, verdict="slower", metric="prefill"):
    middle = sum(interval) / 2 if ratio is None else ratio
    return Change(metric, "s", 1.0, middle, middle, interval, noise, verdict)


def judged(text, *arms, dropping=True):
    [gate] = parse_change_gates([text])
    found = judged_change(gate, arms, dropping)
    assert found.text == text
    assert found.failed == (found.outcome == FAILED)
    assert (found.message is None) == (found.outcome == HELD)
    return found


@pytest.mark.parametrize(
    ("interval", "noise", "expected"),
    [
        ((1.3, 1.4), None, FAILED),
        ((1.1, 1.2), None, HELD),
        ((1.2, 1.3), None, UNDECIDED),
        ((1.25, 1.3), None, UNDECIDED),  # exactly a quarter more is allowed
        ((1.1, 1.25), None, HELD),
        ((0.5, 0.6), None, HELD),
        ((1.3, 1.4), (0.5, 2.0), UNDECIDED),
        ((2.1, 2.2), (0.5, 2.0), FAILED),
        ((0.4, 0.45), (0.5, 2.0), HELD),
        ((1.3, 1.4), (0.9, 1.1), FAILED),
    ],
)
def test_a_quarter_more_is_allowed(interval, noise, expected):
    assert judged("prefill:25%", arm(time(interval, noise=noise))).outcome == expected


def test_what_was_measured_is_told_and_the_floor_only_where_it_decides():
    said = judged("prefill:5%", arm(time((1.25, 1.75)))).message
    assert "v2drop: prefill is 1.500" in said
    assert "1.250 to 1.750" in said
    assert "floor" not in said
    assert "floor" not in judged("prefill:5%", arm(time((1.2, 1.3), noise=(0.9, 1.1)))).message
    said = judged("prefill:5%", arm(time((1.2, 1.3), noise=(0.5, 2.0)))).message
    assert "noise floor 0.500 to 2.000" in said
    assert "floor" not in judged("prefill:5%", arm(time((1.0, 1.3)))).message


def test_a_time_without_an_interval_decides_nothing():
    change = Change("prefill", "s", 1.0, 9.0, 9.0, None, None, "unclear")
    found = judged("prefill:5%", arm(change))
    assert found.outcome == UNDECIDED
    assert "5 rounds or more" in found.message


@pytest.mark.parametrize(
    ("a", "b", "ratio", "text", "expected"),
    [
        (100, 105, 1.05, "kv_cache:4%", FAILED),
        (100, 105, 1.05, "kv_cache:6%", HELD),
        (100, 100, 1.0, "kv_cache:0%", HELD),
        (0, 5, None, "kv_cache:50%", FAILED),
        (0, 0, None, "kv_cache:0%", HELD),
        (5, 0, None, "kv_cache:0%", HELD),
        (0, 1, None, "kv_cache:0%", FAILED),
    ],
)
def test_a_count_has_no_interval_and_needs_none(a, b, ratio, text, expected):
    change = Change("kv_cache", "bytes", a, b, ratio, None, None, "more")
    found = judged(text, arm(change))
    assert found.outcome == expected
    if expected == FAILED:
        assert "95 %" not in found.message
    if expected == FAILED and ratio is None:
        assert f"from 0 to {b}" in found.message


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (time((1.0, 1.1), metric="decode"),),
        (Change("prefill", "s", 1.0, None, None, None, None, None),),
        (Change("prefill", "s", 1.0, 1.0, 1.0, (1.0, 1.0), None, None),),
    ],
)
def test_what_was_not_measured_in_both_fails(changes):
    found = judged("prefill:5%", arm(*changes))
    assert found.outcome == FAILED
    assert "v2drop: prefill was not measured" in found.message


@pytest.mark.parametrize(
    ("agreement", "text", "expected"),
    [
        (1.0, "answers:0%", HELD),
        (1.0, "answers:25%", HELD),
        (0.75, "answers:25%", HELD),
        (0.75, "answers:24%", FAILED),
        (0.75, "answers:0%", FAILED),
        (0.0, "answers:99%", FAILED),
    ],
)
def test_answers_are_gated_by_the_share_of_tokens_that_differ(agreement, text, expected):
    found = judged(text, arm(agreement=agreement))
    assert found.outcome == expected
    if expected == FAILED:
        assert f"{1 - agreement:.3g} of the tokens" in found.message


def test_tokens_are_counted_too():
    change = Change("vision_tokens", "tokens", 100, 105, 1.05, None, None, "more")
    assert judged("vision_tokens:4%", arm(change)).outcome == FAILED
    assert judged("vision_tokens:6%", arm(change)).outcome == HELD


BAD, GOOD = time((1.3, 1.4)), time((1.0, 1.01))


def test_a_gate_without_an_arm_is_about_all_of_them():
    both = arm(GOOD, label="dense"), arm(BAD)
    assert judged("prefill:5%", *both).outcome == FAILED
    assert judged("prefill:5%", *both).message.startswith("v2drop: ")
    assert judged("dense:prefill:5%", *both).outcome == HELD
    assert judged("v2drop:prefill:5%", *both).outcome == FAILED
    assert judged("prefill:5%", arm(BAD, label="dense"), arm(GOOD)).outcome == FAILED


def test_a_gate_that_would_look_at_dense_alone_fails_where_something_drops():
    alone = arm(GOOD, label="dense")
    found = judged("prefill:5%", alone, dropping=True)
    assert found.outcome == FAILED
    assert "no arm but dense" in found.message
    assert judged("prefill:5%", alone, dropping=False).outcome == HELD
    assert judged("dense:prefill:5%", alone, dropping=True).outcome == HELD


def test_a_gate_on_an_arm_that_is_not_in_both_fails():
    found = judged("other:prefill:5%", arm(GOOD))
    assert found.outcome == FAILED
    assert "no arm 'other'" in found.message
    assert judged("other:prefill:5%", arm(GOOD, label="dense"), dropping=False).outcome == FAILED


def test_the_gates_of_the_other_command_are_refused():
    with pytest.raises(UsageError) as caught:
        parse_change_gates(["prefill<5"])
    assert "prefill:5%" in caught.value.hint
    with pytest.raises(UsageError, match="no share"):
        parse_change_gates(["answers:5"])
