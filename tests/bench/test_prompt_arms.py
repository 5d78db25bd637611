"""The same arms for other prompts: budgets are each prompt's own, and what was found is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.families.loaded import loaded_case
from tests.methods.toys import Extra, Longer, registered
from v2drop_cli.bench.arms import ArmOptions, Budget, ScheduleOptions
from v2drop_cli.bench.budgets import moved
from v2drop_cli.bench.prompt_arms import PromptArms
from v2drop_cli.errors import ScheduleError
from v2drop_cli.schedule import Schedule


@pytest.fixture(scope="module")
def loaded():
    return loaded_case("llava")


def known(loaded, methods=("v2drop", "random"), change=lambda arm: arm, **schedules):
    """The arms of a prompt of 36 vision tokens."""
    options = ArmOptions(ScheduleOptions(**schedules), methods)
    first = [change(arm) for arm in options.resolve(loaded, 36)]
    return first, PromptArms(options, loaded, first, 36)


def averages(arms, n_vision):
    return [arm.schedule.resolve(n_vision, 6).layer_average for arm in arms if arm.schedule]


def test_the_first_prompts_arms_are_those_that_were_given(loaded):
    """Also where nobody else would make them so."""
    first, arms = known(loaded, change=lambda arm: replace(arm, seed=5), budgets=("50%",))
    assert arms.of(36) == tuple(first)
    assert arms.labels == ("dense", "v2drop budget 50%", "random budget 50%")
    assert {arm.seed for arm in arms.of(72)[1:]} == {0}


def test_a_budget_is_a_share_or_a_number_of_each_prompts_own_tokens(loaded):
    _, arms = known(loaded, ("v2drop",), budgets=("50%", "24"))
    for n_vision, wanted in ((36, [18, 24]), (72, [36, 24]), (100, [50, 24])):
        found = arms.of(n_vision)
        assert tuple(arm.label for arm in found) == arms.labels
        assert found[0] is arms.of(36)[0]
        assert averages(found, n_vision) == pytest.approx(wanted, abs=0.5)
        assert [arm.budget.tokens for arm in found[1:]] == wanted
        assert arms.of(n_vision) is found  # resolved once


def test_what_is_no_budget_stays_what_it_is(loaded):
    first, arms = known(loaded, ("dart:image_pivots=6", "random"), schedules=("2:0.5", "1:20t"))
    assert [arm.label for arm in first[1:3]] == ["dart:image_pivots=6 2:0.5", "random 2:0.5"]
    assert list(arms.of(72)) == first


def test_a_budget_beyond_a_prompts_tokens_is_refused(loaded):
    _, arms = known(loaded, budgets=("24",))
    with pytest.raises(ScheduleError):
        arms.of(20)


def solved(arm):
    if arm.method is None:
        return arm
    method = "longer:times=1.3" if arm.method.startswith("longer") else arm.method
    return replace(arm, method=method, solved=("x",), power=1.0)


def test_what_prefills_found_for_the_first_prompt_is_kept_for_all(loaded, monkeypatch):
    """A factor of the thresholds that were asked for, or of the budget where there are none."""
    registered(monkeypatch, Extra, Longer)
    asked = ("longer:times=0.6", "extra")
    first, arms = known(loaded, asked, solved, budgets=("50%",))
    unsolved, _ = known(loaded, asked, budgets=("50%",))
    dense, longer, extra = arms.of(72)
    assert dense is first[0]
    assert longer.label == unsolved[1].label
    assert longer.method == "longer:times=1.2"  # twice what was typed, not what was found
    assert extra.method == "extra"
    assert averages([extra], 72) == pytest.approx([18], abs=0.5)
    assert (longer.solved, longer.power, extra.solved, extra.power) == (("x",), 1.0) * 2
    assert longer.budget == Budget(36.0, name="50%")
    assert moved(replace(extra, power=0.0), 0.0, loaded, 72) is not None


def test_an_arm_that_nothing_was_found_for_is_not_moved(loaded):
    _, arms = known(loaded, ("v2drop",), lambda arm: replace(arm, power=1.0), schedules=("2:0.5",))
    [_, arm] = arms.of(72)
    assert (arm.schedule, arm.solved, arm.power) == (Schedule.parse("2:0.5"), (), 0.0)
