from __future__ import annotations

import gc
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2drop_cli.measure.trials import run_blocks, run_trials, schedule_blocks

arms_repeats_seed = (st.integers(1, 6), st.integers(0, 15), st.integers(0, 2**32))
unhurried = settings(deadline=None)


@unhurried
@given(*arms_repeats_seed)
def test_each_arm_is_once_in_each_block(n_arms, repeats, seed):
    blocks = schedule_blocks(n_arms, repeats, seed)
    assert len(blocks) == repeats
    assert all(sorted(block) == list(range(n_arms)) for block in blocks)


@unhurried
@given(*arms_repeats_seed)
def test_each_pair_of_blocks_gives_every_arm_the_same_mean_position(n_arms, repeats, seed):
    blocks = schedule_blocks(n_arms, repeats, seed)
    for forth, back in zip(blocks[::2], blocks[1::2], strict=False):
        assert forth == back[::-1]
        assert {forth.index(arm) + back.index(arm) for arm in range(n_arms)} == {n_arms - 1}


@unhurried
@given(*arms_repeats_seed)
def test_the_order_is_the_seeds(n_arms, repeats, seed):
    blocks = schedule_blocks(n_arms, repeats, seed)
    assert blocks == schedule_blocks(n_arms, repeats, seed)
    assert blocks == schedule_blocks(n_arms, repeats + 1, seed)[:repeats]


def test_the_order_differs_between_seeds_and_between_pairs():
    assert len({str(schedule_blocks(4, 2, seed)) for seed in range(50)}) > 10
    assert len({str(block) for block in schedule_blocks(4, 40, 0)}) > 10


@unhurried
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 3), st.integers(0, 99), st.booleans())
def test_warmup_comes_first_and_results_come_in_block_order(n_arms, repeats, warmup, seed, quiet):
    calls: list[int] = []
    clock = count()

    def arm(number: int) -> tuple[int, int]:
        calls.append(number)
        return number, next(clock)

    progress: list[tuple[int, int]] = []
    results = run_trials(
        [lambda number=number: arm(number) for number in range(n_arms)],
        repeats=repeats,
        warmup=warmup,
        seed=seed,
        on_progress=None if quiet else lambda done, total: progress.append((done, total)),
    )
    warmed = warmup * n_arms
    assert calls[:warmed] == list(range(n_arms)) * warmup
    blocks = schedule_blocks(n_arms, repeats, seed)
    assert calls[warmed:] == [number for block in blocks for number in block]
    assert len(results) == n_arms
    for number, of_arm in enumerate(results):
        places = [warmed + block * n_arms + blocks[block].index(number) for block in range(repeats)]
        assert of_arm == [(number, place) for place in places]
    total = (warmup + repeats) * n_arms
    assert progress == ([] if quiet else [(done, total) for done in range(1, total + 1)])


def test_a_linear_drift_cancels_over_a_pair_of_blocks():
    drift = count()
    arms = [lambda: next(drift)] * 5
    results = run_trials(arms, repeats=6, warmup=1, seed=3)
    assert len({sum(of_arm) for of_arm in results}) == 1


def test_progress_is_never_called_within_a_trial():
    running: list[bool] = []
    called = []

    def arm() -> None:
        running.append(True)
        running.pop()

    run_trials(
        [arm, arm],
        repeats=3,
        warmup=1,
        seed=0,
        on_progress=lambda done, total: called.append(bool(running) or not gc.isenabled()),
    )
    assert called == [False] * 8


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


def test_blocks_can_be_taken_one_at_a_time_and_left_early():
    calls = []
    arms = [lambda: calls.append("a") or "a", lambda: calls.append("b") or "b"]
    blocks = run_blocks(arms, repeats=100, warmup=1, seed=0)
    assert next(blocks) == ["a", "b"]
    assert next(blocks) == ["a", "b"]
    blocks.close()
    assert len(calls) == 6


@pytest.mark.parametrize(("n_arms", "repeats"), [(0, 1), (1, -1)])
def test_a_schedule_of_nothing_is_refused(n_arms, repeats):
    with pytest.raises(ValueError, match="cannot schedule"):
        schedule_blocks(n_arms, repeats, 0)
    with pytest.raises(ValueError, match="cannot schedule"):
        run_trials([lambda: None] * n_arms, repeats=repeats, warmup=0, seed=0)


def test_a_negative_warmup_is_refused():
    with pytest.raises(ValueError, match="warm up -1 times"):
        run_trials([lambda: None], repeats=1, warmup=-1, seed=0)
