"""Budgets of methods that choose their counts: met by trying, and said so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.checkpoints import save_checkpoint
from tests.methods.toys import Entry, Extra, Longer, Once, only, registered
from tests.tiny_llava import PATCHES
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm, ArmOptions, Budget, ScheduleOptions
from v2drop_cli.bench.budgets import TRIES, budget_caveats, meet_budget, nearest, takes_trying
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.watch import Watch
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.schedule import Drop, Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"), 12)), device="cpu")


@pytest.fixture
def passes(loaded, monkeypatch):
    registered(monkeypatch, Entry, Extra, Half, Late, Longer, Once)
    with Nvml(loaded.device) as nvml:
        yield Passes(Subject(loaded, [load_image(CAT)], "what?"), nvml)


@dataclass(frozen=True)
class Half(Method):
    """Drops all in the middle, whatever the budget."""

    name = "half"
    paper = "a test"

    def schedule(self, budget, shape):
        return Schedule((Drop(shape.n_layers // 2, count=0),))


@dataclass(frozen=True)
class Late(Once):
    """Drops in the second half of the decoder."""

    name = "late"

    def schedule(self, budget, shape):
        return shape.solved(budget or shape.n_vision, (6, 9))


def lined_up(passes, methods, **schedules):
    options = ArmOptions(ScheduleOptions(**schedules), methods)
    options.check()
    return line_up(options, passes, Watch())


def said(passes, code):
    return [caveat.message for caveat in passes.caveats() if caveat.code == code]


def average(passes, arm):
    return passes.plan(arm).layer_average


def test_thresholds_come_as_near_to_a_budget_as_any_factor_does(passes):
    [_, arm] = lined_up(passes, ("longer",), budgets=("50%",))
    method = get_method(arm.method)
    tried = []
    for factor in [2 ** (n / 8) for n in range(-8, 9)]:
        found = get_method("longer").scaled(factor)
        text = f"longer:times={found.times!r}"
        tried.append(average(passes, type(arm)("", text, arm.schedule)))
    best = min(abs(found - 18) for found in tried)
    assert abs(average(passes, arm) - 18) <= max(best, 0.18)
    assert method.times != 1.0
    assert (arm.label, arm.budget.name) == ("longer budget 50%", "50%")
    assert arm.solved == ("times",)
    [tried] = said(passes, "budget_tried")
    assert tried.startswith(f"longer budget 50%: times={method.times} was found by prefills")


@pytest.mark.parametrize("budget", ["25%", "75%"])
def test_what_was_changed_can_be_typed_whichever_way_it_went(passes, budget):
    [_, arm] = lined_up(passes, ("longer:positions=original",), budgets=(budget,))
    times = get_method(arm.method).times
    assert (times > 1) == (budget == "25%")
    [tried] = said(passes, "budget_tried")
    assert f": times={times} was found" in tried


def test_only_a_method_that_chooses_is_tried_and_only_for_a_budget(monkeypatch):
    registered(monkeypatch, Longer)
    budget = Budget(12.0, name="12")
    for arm in (Arm("dense"), Arm("x", "longer"), Arm("x", budget=budget)):
        assert not takes_trying(arm)
    assert not takes_trying(Arm("x", "v2drop", budget=budget))
    assert takes_trying(Arm("x", "longer", budget=budget))


def test_a_budget_that_no_schedule_meets_bounds_the_search(passes):
    """Half of 9 tokens is below what the layers before the first drop hold: 6 of 36, of 12."""
    [_, arm] = lined_up(passes, ("extra",), budgets=("9",), layers="2,5")
    assert average(passes, arm) == pytest.approx(9, abs=0.3)
    assert not said(passes, "budget_missed")


def test_a_factor_is_one_for_all_thresholds_and_can_be_typed():
    scaled = get_method("v2drop").scaled(3.0)
    assert scaled == get_method("v2drop")
    assert Longer(times=0.3).scaled(1 / 9).times == 0.03333


def test_tokens_on_top_of_a_count_are_part_of_the_budget(passes):
    """Extra keeps a quarter more than it is told, so it is told a smaller budget."""
    [_, arm] = lined_up(passes, ("extra",), budgets=("12",))
    assert average(passes, arm) == pytest.approx(12, abs=0.5)
    assert arm.schedule.resolve(PATCHES, 12).layer_average < 11.5
    assert (arm.method, arm.solved) == ("extra", ("schedule",))
    [tried] = said(passes, "budget_tried")
    assert f"the schedule {arm.schedule}" in tried


def test_registered_methods_that_choose_come_to_the_budget_too(passes, monkeypatch):
    only(monkeypatch, *(name for name in METHODS if get_method(name).chooses_count))
    arms = lined_up(passes, ("all",), budgets=("50%",))
    averages = {arm.label: average(passes, arm) for arm in arms[1:]}
    assert "sparsevlm budget 50%" in averages
    assert averages == pytest.approx(dict.fromkeys(averages, 18), abs=0.5)


def test_layers_that_the_user_named_stay_when_it_is_tried(passes):
    [_, arm] = lined_up(passes, ("extra",), budgets=("12",), layers="2,5")
    assert [drop.layer for drop in arm.schedule.drops] == [2, 5]
    assert average(passes, arm) == pytest.approx(12, abs=0.5)


def test_what_cannot_come_near_says_so_with_what_it_comes_to(passes):
    lined_up(passes, ("once",), budgets=("12", "30"))
    assert not said(passes, "budget_missed")
    [_, arm] = lined_up(passes, ("half",), budgets=("12",))
    [missed] = said(passes, "budget_missed")
    assert missed.startswith(f"{arm.label}: the layer average is 18, for a budget of 12")


def test_thresholds_that_reach_no_budget_end_the_search(passes):
    """All tokens are there until layer 6 of 12, so no threshold comes below half of them."""
    [_, arm] = lined_up(passes, ("longer",), budgets=("18",), layers="6")
    assert average(passes, arm) == pytest.approx(18, abs=0.5)
    lower = replace(arm, budget=replace(arm.budget, tokens=6.0))
    assert average(passes, meet_budget(lower, passes)) == pytest.approx(18, abs=0.5)


def test_a_method_with_counts_is_not_tried(passes, monkeypatch):
    monkeypatch.setattr(Passes, "prefill", lambda self, arm: pytest.fail("it prefilled"))
    arms = lined_up(passes, ("v2drop", "random", "once", "entry"), budgets=("33%",))
    assert [average(passes, arm) for arm in arms[1:]] == pytest.approx([11.88] * 4, abs=0.5)
    assert {arm.solved for arm in arms} == {()}
    assert not said(passes, "budget_split")
    assert not said(passes, "budget_tried")
    assert not said(passes, "budget_missed")


def test_arms_that_were_made_for_no_budget_have_nothing_to_say(passes):
    budget, schedule = Budget(12.0, name="12"), Schedule.parse("2:0.5")
    for arm in (
        Arm("dense"),
        Arm("x", "v2drop", schedule),
        Arm("x", "v2drop", budget=budget),
        Arm("x", None, schedule, budget=budget),
    ):
        assert budget_caveats(arm, arm, passes) == []


def test_drops_that_moved_are_a_caveat(passes):
    lined_up(passes, ("late",), budgets=("24", "18"))
    assert not said(passes, "budget_moved")
    lined_up(passes, ("late",), budgets=("12",))
    [moved] = said(passes, "budget_moved")
    assert "layers 6, 9 cannot" in moved
    assert "moved to 3, 4, in proportion" in moved


def test_how_two_methods_share_a_budget_is_said_where_it_is_ours(passes):
    lined_up(passes, ("entry+v2drop",), schedules=("0:12t,3:0.5",))
    assert not said(passes, "budget_split")
    lined_up(passes, ("entry+v2drop",), budgets=("9",))
    [split] = said(passes, "budget_split")
    assert "18 of 36 tokens enter the decoder, 9 are in a layer" in split
    lined_up(passes, ("entry+v2drop",))
    assert len(said(passes, "budget_split")) == 2


# The search ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [1e-3, 0.3, 1.0, 7.0, 500.0])
def test_the_search_finds_a_smooth_falls_value(wanted):
    found = nearest(lambda x: 2.0**-x, wanted)
    assert 2.0**-found == pytest.approx(wanted, rel=0.01)


def test_the_search_takes_a_bounded_number_of_tries_and_the_best_of_them():
    for wanted in (0.0, 3.4, 50.0, 1e9):
        seen = []

        def stairs(x, seen=seen):
            seen.append(100 - 10 * math.floor(4 * x))
            return seen[-1]

        best = nearest(stairs, wanted)
        assert len(seen) <= TRIES
        assert abs(100 - 10 * math.floor(4 * best) - wanted) == min(
            abs(value - wanted) for value in seen
        )


@pytest.mark.parametrize(
    ("wanted", "tried"),
    [
        (97.0, [0, 1, 0.5, 0.25]),
        (103.0, [0, -1, -0.5, -0.25]),
        (55.0, [0, 1, 2, 4, 8, 6, 5, 4.5]),
        (-1e9, [0, 1, 2, 4, 8, 16]),
        (1e9, [0, -1, -2, -4, -8, -16]),
    ],
)
def test_the_steps_double_until_it_is_between_two_and_halve_from_there(wanted, tried):
    seen = []
    nearest(lambda x: seen.append(x) or 100 - 10 * x, wanted)
    assert seen == tried


def test_where_nothing_can_be_asked_the_search_turns_back():
    found = nearest(lambda x: -math.inf if x > 0.4 else 10 - 10 * x, 7)
    assert found == pytest.approx(0.3, abs=0.01)
