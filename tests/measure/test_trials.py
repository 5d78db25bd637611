from __future__ import annotations

import gc
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2drop_cli.measure.trials import Place, run_rounds, run_trials, schedule_rounds

arms_repeats_seed = (st.integers(1, 6), st.integers(0, 15), st.integers(0, 2**32))
unhurried = settings(deadline=None)


@unhurried
@given(*arms_repeats_seed)
def test_each_arm_is_once_in_each_round(n_arms, repeats, seed):
    rounds = schedule_rounds(n_arms, repeats, seed)
    assert len(rounds) == repeats
    assert all(sorted(order) == list(range(n_arms)) for order in rounds)


@unhurried
@given(*arms_repeats_seed)
def test_each_pair_of_rounds_gives_every_arm_the_same_mean_position(n_arms, repeats, seed):
    rounds = schedule_rounds(n_arms, repeats, seed)
    for forth, back in zip(rounds[::2], rounds[1::2], strict=False):
        assert forth == back[::-1]
        assert {forth.index(arm) + back.index(arm) for arm in range(n_arms)} == {n_arms - 1}


@unhurried
@given(*arms_repeats_seed)
def test_the_order_is_the_seeds(n_arms, repeats, seed):
    rounds = schedule_rounds(n_arms, repeats, seed)
    assert rounds == schedule_rounds(n_arms, repeats, seed)
    assert rounds == schedule_rounds(n_arms, repeats + 1, seed)[:repeats]


def test_the_order_differs_between_seeds_and_between_pairs():
    assert len({str(schedule_rounds(4, 2, seed)) for seed in range(50)}) > 10
    assert len({str(order) for order in schedule_rounds(4, 40, 0)}) > 10


@unhurried
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 3), st.integers(0, 99))
def test_warmup_comes_first_and_results_come_in_round_order(n_arms, repeats, warmup, seed):
    calls: list[int] = []
    clock = count()

    def arm(number: int) -> tuple[int, int]:
        calls.append(number)
        return number, next(clock)

    results = run_trials(
        [lambda number=number: arm(number) for number in range(n_arms)],
        repeats=repeats,
        warmup=warmup,
        seed=seed,
    )
    warmed = warmup * n_arms
    assert calls[:warmed] == list(range(n_arms)) * warmup
    rounds = schedule_rounds(n_arms, repeats, seed)
    assert calls[warmed:] == [number for order in rounds for number in order]
    assert len(results) == n_arms
    for number, of_arm in enumerate(results):
        places = [warmed + n * n_arms + order.index(number) for n, order in enumerate(rounds)]
        assert of_arm == [(number, place) for place in places]


def test_a_linear_drift_cancels_over_a_pair_of_rounds():
    drift = count()
    arms = [lambda: next(drift)] * 5
    results = run_trials(arms, repeats=6, warmup=1, seed=3)
    assert len({sum(of_arm) for of_arm in results}) == 1


def test_places_are_told_before_each_trial_and_never_within_one():
    running: list[bool] = []
    told: list[Place] = []

    def tell(place: Place) -> None:
        assert not running
        assert gc.isenabled()
        told.append(place)

    def arm() -> int:
        running.append(True)
        running.pop()
        return len(told)

    rounds = list(run_rounds([arm, arm], repeats=2, warmup=1, seed=0, before_trial=tell))
    assert told == [
        Place(True, 0, 0), Place(True, 0, 1), Place(False, 0, 0), Place(False, 0, 1),
        Place(False, 1, 0), Place(False, 1, 1),
    ]  # fmt: skip
    assert [sorted(results) for results in rounds] == [[3, 4], [5, 6]]  # told first, then run


def test_no_garbage_collection_within_a_trial():
    assert run_trials([gc.isenabled], repeats=2, warmup=1, seed=0) == [[False, False]]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        run_trials([gc.isenabled], repeats=1, warmup=0, seed=0)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_failing_arm_leaves_nothing_behind():
    def fails() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_trials([fails], repeats=1, warmup=0, seed=0)
    assert gc.isenabled()


def test_rounds_can_be_taken_one_at_a_time_and_left_early():
    calls = []
    arms = [lambda: calls.append("a") or "a", lambda: calls.append("b") or "b"]
    rounds = run_rounds(arms, repeats=100, warmup=1, seed=0)
    assert next(rounds) == ["a", "b"]
    assert next(rounds) == ["a", "b"]
    rounds.close()
    assert len(calls) == 6


@pytest.mark.parametrize(("n_arms", "repeats"), [(0, 1), (1, -1)])
def test_a_schedule_of_nothing_is_refused(n_arms, repeats):
    with pytest.raises(ValueError, match="cannot schedule"):
        schedule_rounds(n_arms, repeats, 0)
    with pytest.raises(ValueError, match="cannot schedule"):
        run_trials([lambda: None] * n_arms, repeats=repeats, warmup=0, seed=0)


def test_a_negative_warmup_is_refused():
    with pytest.raises(ValueError, match="warm up -1 times"):
        run_trials([lambda: None], repeats=1, warmup=-1, seed=0)
