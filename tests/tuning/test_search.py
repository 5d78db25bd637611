"""The search over a made-up model: what it tries, what it keeps, and what it recommends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from v2drop_cli.bench.watch import Watch
from v2drop_cli.records.evaluation import Score
from v2drop_cli.records.tuning import Cost, Quality, Trial, TrialJournal
from v2drop_cli.tuning.samplers import sampler_of
from v2drop_cli.tuning.search import Goal, Plan, best, marked, search
from v2drop_cli.tuning.space import Space

SPACE = Space(12, {"v2drop": tuple(range(1, 12))}, 1 / 3)
GOAL = Goal(by_score=False, tolerate=None)
SETTINGS = {"seed": 0}


def measured(point):
    """Deep drops are good, and what is good is not for nothing."""
    kl = 1 / (1 + sum(point.layers)) + 0.1 * len(point.layers)
    return Cost(point.share, 1e9 + 1e6 / kl, 0.01 + 0.001 / kl), Quality(kl, 1 - kl, None), kl


def plan(trials=12, **changes):
    known = [SPACE.any("known")]
    given = Plan(SPACE, GOAL, sampler_of("random"), known, trials, 0)
    return replace(given, **changes)


def searched(given, path=None, resume=False, measure=measured, watch=None):
    journal = TrialJournal(path, resume)
    journal.begin(SETTINGS)
    why = search(given, measure, journal, watch or Watch())
    return why, journal.results


def test_known_schedules_come_first_and_nothing_is_tried_twice():
    why, trials = searched(plan(30))
    assert why == "trials"
    assert [trial.number for trial in trials] == list(range(30))
    assert [trial.origin for trial in trials] == ["known"] + ["drawn"] * 29
    assert trials[0].parameters == SPACE.any("known")
    assert len({trial.schedule for trial in trials}) == 30
    for trial in trials:
        point = SPACE.point(trial.parameters)
        assert trial.schedule == str(point.schedule(12))
        assert (trial.cost, trial.quality, trial.loss) == measured(point)
        assert trial.value == trial.quality.kl


def test_where_there_is_nothing_new_the_old_is_not_measured_again():
    narrow = Space(12, {"v2drop": (1,)}, 1 / 3)
    calls = []

    def measure(point):
        calls.append(point)
        return measured(point)

    _, trials = searched(plan(5, space=narrow, known=[]), measure=measure)
    assert len(trials) == 5
    assert len(calls) == 1
    assert len({trial.schedule for trial in trials}) == 1


def test_a_search_killed_anywhere_and_gone_on_with_finds_the_same(tmp_path):
    path = tmp_path / "trials.jsonl"
    _, whole = searched(plan(), path)
    data, draw = path.read_bytes(), random.Random(0)
    for _ in range(20):
        path.write_bytes(data[: draw.randrange(len(data))])
        _, again = searched(plan(), path, resume=True)
        assert again == whole
        assert path.read_bytes() == data


def test_more_trials_are_no_other_search(tmp_path):
    path = tmp_path / "trials.jsonl"
    _, few = searched(plan(4), path)
    _, more = searched(plan(9), path, resume=True)
    assert len(few) == 4
    assert more[:4] == few
    assert more == searched(plan(9))[1]


def test_an_interrupt_ends_the_search_and_keeps_what_there_is():
    def stop(point):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(point)
        return measured(point)

    seen = []
    why, trials = searched(plan(), measure=stop)
    assert (why, len(trials)) == ("interrupted", 3)
    seen = [0, 0, 0]
    with pytest.raises(KeyboardInterrupt):
        searched(plan(), measure=stop)


def test_it_is_told_how_far_it_is():
    told = []
    searched(plan(3), watch=Watch(on_progress=told.append))
    assert [(one.done, one.of) for one in told] == [(0, 3), (1, 3), (2, 3)]
    assert told[0].left_s is None
    assert all(one.left_s >= 0 for one in told[1:])


def trial(number, kl, share, prefill_s=0.01, score=None, loss=None):
    found = None if score is None else Score(None, 10, score, (0.0, 1.0))
    quality = Quality(kl, None, found)
    loss = kl if loss is None else loss
    cost = Cost(share, share * 1e9, prefill_s)
    return Trial(number, "drawn", {}, "v2drop", f"{number}:0.5", share, cost, quality, loss, 0.0)


def valued(goal, *trials):
    return [replace(one, value=goal.value(one.cost, one.quality, one.loss)) for one in trials]


def test_at_a_budget_the_best_of_equals_is_the_cheapest_then_the_first():
    trials = valued(GOAL, trial(0, 0.2, 0.1), trial(1, 0.1, 0.3), trial(2, 0.1, 0.2))
    assert best(trials, GOAL) == 2
    assert best([*trials, *valued(GOAL, trial(3, 0.1, 0.2))], GOAL) == 2


def test_within_a_loss_the_cheapest_wins_and_what_loses_more_never():
    goal = Goal(by_score=False, tolerate=0.05)
    trials = valued(goal, trial(0, 0.06, 0.1), trial(1, 0.05, 0.5), trial(2, 0.01, 0.6))
    assert best(trials, goal) == 1
    assert [one.value for one in trials] == [1.06, 0.5, 0.6]
    assert best(trials[:1], goal) is None


def test_by_score_the_highest_score_wins():
    goal = Goal(by_score=True, tolerate=None)
    trials = valued(
        goal, trial(0, None, 0.3, score=0.7, loss=0), trial(1, None, 0.3, score=0.9, loss=0)
    )
    assert [one.value for one in trials] == pytest.approx([0.3, 0.1])
    assert best(trials, goal) == 1


def test_the_fronts_are_of_work_and_of_time():
    trials = [trial(0, 0.3, 0.1, 0.03), trial(1, 0.2, 0.2, 0.01), trial(2, 0.25, 0.3, 0.005)]
    marks = [(one.on_flops, one.on_prefill) for one in marked(trials, GOAL)]
    assert marks == [(True, False), (True, True), (False, True)]


def test_where_flops_are_not_known_tokens_stand_for_them():
    trials = [replace(one, cost=replace(one.cost, prefill_flops=None)) for one in (
        trial(0, 0.3, 0.1), trial(1, 0.2, 0.2), trial(2, 0.25, 0.3),
    )]  # fmt: skip
    assert [one.on_flops for one in marked(trials, GOAL)] == [True, True, False]
    assert best(valued(GOAL, *trials), GOAL) == 1
