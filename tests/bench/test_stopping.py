"""When enough rounds were taken, and how long that may still be."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from v2drop_cli.bench.stopping import FixedRounds, Rounds, StopRule, half_width
from v2drop_cli.records import Ratio


@pytest.mark.parametrize(
    ("rounds", "reached", "elapsed", "reason"),
    [
        (2, 0.001, 99.0, None),  # the least comes first, whatever the time
        (3, 0.01, 1.0, "precision"),
        (3, 0.02, 1.0, None),
        (3, None, 1.0, None),
        (3, None, 10.0, "time"),
        (3, 0.02, 10.0, "time"),
    ],
)
def test_the_stop_rule(rounds, reached, elapsed, reason):
    assert StopRule(3, 0.01, 10.0).reason(Rounds(rounds), reached, elapsed) == reason


def test_without_a_least_number_of_rounds_time_is_a_limit():
    rule = StopRule(max_time_s=10.0)
    assert (rule.least, rule.owed) == (10, 5)
    assert rule.reason(Rounds(4), None, 10.0) is None  # fewer have no intervals
    assert rule.reason(Rounds(5), None, 10.0) == "time"
    assert rule.reason(Rounds(0, 5), None, 10.0) == "time"
    assert rule.reason(Rounds(9), 0.001, 9.9) is None  # a lucky few rounds are not precise
    assert rule.reason(Rounds(10), 0.001, 9.9) == "precision"


def test_no_more_rounds_are_promised_than_time_allows():
    rule = StopRule(max_time_s=10.0)
    assert rule.coming(0.0, None, 1.0) == 5  # nobody knows yet how long one takes
    assert [rule.coming(1.0, round_s, 2.0) for round_s in (0.5, 8 / 9, 0.9, 4.0)] == [10, 10, 5, 5]
    assert rule.coming(4.0, 3.0, 12.0) == 5
    assert rule.coming(11.0, 1.0, 12.0) == 10  # they are there
    assert rule.coming(1.0, 0.0, 2.0) == 10
    assert [StopRule(7, 0.01, 10.0).coming(0.0, None, s) for s in (0.0, 10.0)] == [7, 7]
    assert FixedRounds(3).coming(0.0, None, 1e9) == 3


def test_invalid_rounds_do_not_go_on_for_ever():
    rule = StopRule(3, 0.01, 10.0)
    assert rule.reason(Rounds(1, 2), None, 9.0) is None
    assert rule.reason(Rounds(2, 9), 0.001, 9.0) is None
    assert rule.reason(Rounds(0, 3), None, 10.0) == "time"


def test_a_fixed_number_of_rounds_is_just_that():
    rule = FixedRounds(3)
    assert [rule.reason(Rounds(n), 0.0, 1e9) for n in (2, 3)] == [None, "rounds"]
    assert rule.left_s(1.5, None, 0.0) is None  # before the first round is done
    assert rule.left_s(1.5, 2.0, 0.0) == 3.0
    assert rule.left_s(3.0, 2.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("repeats", "taken", "round_s", "elapsed", "left"),
    [
        (None, 0, None, 5.0, 55.0),
        (None, 3, 2.0, 10.0, 50.0),
        (None, 3, 40.0, 50.0, 80.0),  # two more rounds have to be
        (None, 20, 2.0, 61.0, 0.0),  # the round under way is the last
        (40, 10, 2.0, 20.0, 60.0),  # the rounds promised take longer than the time
        (40, 10, 1.0, 20.0, 40.0),
        (40, 0, None, 70.0, None),  # time is over, and nobody knows how long a round takes
    ],
)
def test_what_is_left_is_time_or_the_rounds_promised(repeats, taken, round_s, elapsed, left):
    assert StopRule(repeats, 0.01, 60.0).left_s(taken, round_s, elapsed) == left


def test_the_widest_half_width_is_a_share_of_its_own_ratio():
    wide, narrow = Ratio(2.0, (1.5, 2.0)), Ratio(1.0, (0.9375, 1.0))
    assert half_width([wide]) == 0.125
    assert half_width([narrow, wide]) == half_width([wide, narrow]) == 0.125
    assert half_width([narrow]) == 0.03125


def test_precision_is_unknown_where_one_interval_is():
    assert half_width([]) is None
    assert half_width([None]) is None
    assert half_width([Ratio(2.0, (1.5, 2.5)), None]) is None
    assert half_width([Ratio(2.0), Ratio(2.0, (1.5, 2.5))]) is None


def test_rounds_that_were_spoiled_were_taken_too():
    assert (Rounds(3).taken, Rounds(3, 2).taken) == (3, 5)
    assert FixedRounds(3).reason(Rounds(1, 2), None, 0.0) == "rounds"
    assert FixedRounds(3).reason(Rounds(4), None, 0.0) == "rounds"
    assert FixedRounds(3).precision is None


def test_the_stop_rule_without_a_word():
    rule = StopRule()
    assert (rule.repeats, rule.precision, rule.max_time_s) == (None, 0.01, 60.0)


@pytest.mark.parametrize(
    ("taken", "elapsed", "left"), [(0, 59.5, 0.5), (0, 60.0, None), (1, 60.5, None)]
)
def test_time_left_before_anybody_knows_how_long_a_round_takes(taken, elapsed, left):
    assert StopRule(2, 0.01, 60.0).left_s(taken, None, elapsed) == left


def test_more_rounds_than_were_owed_are_enough():
    assert StopRule(3, 0.01, 60.0).reason(Rounds(5), 0.001, 1.0) == "precision"
    assert StopRule(3, 0.01, 60.0).reason(Rounds(5), None, 60.0) == "time"
    assert FixedRounds(3).left_s(5.0, 2.0, 0.0) == 0.0


@pytest.mark.parametrize("values", [Rounds(1), FixedRounds(1), StopRule()])
def test_rules_and_rounds_are_values(values):
    with pytest.raises(FrozenInstanceError):
        setattr(values, "valid" if isinstance(values, Rounds) else "precision", 1)
