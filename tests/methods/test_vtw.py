"""VTW: all vision tokens go at one layer, and a budget is the nearest one."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.by_hand import walk
from tests.tiny_llava import make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Schedule


@pytest.mark.parametrize("side", ["left", "right"])
def test_text_goes_on_alone_at_its_own_positions(side):
    model, inputs = make_llava(6), mixed_batch(side)
    _, ends = walk(model, inputs, {3: lambda n: 0}, lambda stage: [])
    with v2drop.dropping(model, method="vtw") as trace, torch.no_grad():
        got = model(**inputs).logits
    assert [(event.layer, set(event.after)) for event in trace.events] == [(3, {0})]
    for b, end in enumerate(ends):
        last = inputs["attention_mask"][b].nonzero()[-1, 0]
        wanted = model.lm_head(model.model.language_model.norm(torch.tensor(end[-1]).float()))
        torch.testing.assert_close(got[b, last], wanted, atol=1e-5, rtol=1e-5)


def test_its_own_layer_is_15_of_32():
    method = get_method("vtw")
    assert [str(method.schedule(None, Shape(n))) for n in (32, 28, 2)] == ["15:0t", "13:0t", "1:0t"]


@pytest.mark.parametrize(
    ("budget", "written", "average"),
    [(64, "4:0t", 72), (270, "15:0t", 270), (192, "11:0t", 198), (18, "1:0t", 18)],
)
def test_a_budget_is_the_nearest_layer(budget, written, average):
    found = get_method("vtw").schedule(budget, Shape(32, n_vision=576))
    assert str(found) == written
    assert found.resolve(576, 32).layer_average == average


@pytest.mark.parametrize("budget", [576, 570])
def test_a_budget_of_all_tokens_drops_none(budget):
    found = get_method("vtw").schedule(budget, Shape(32, n_vision=576))
    assert found.resolve(576, 32).counts == (576,) * 32


def test_layers_that_cannot_drop_are_not_the_nearest():
    found = get_method("vtw").schedule(64, Shape(32, first_droppable=3, n_vision=576))
    assert str(found) == "4:0t"
    found = get_method("vtw").schedule(54, Shape(32, first_droppable=3, n_vision=576))
    assert str(found) == "3:0t"


@pytest.mark.parametrize("budget", [577, -1, float("nan")])
def test_budgets_that_no_layer_meets_are_refused(budget):
    with pytest.raises(ScheduleError, match="budget"):
        get_method("vtw").schedule(budget, Shape(32, n_vision=576))


def test_a_budget_needs_a_prompt():
    with pytest.raises(ScheduleError, match="no prompt yet"):
        get_method("vtw").schedule(64, Shape(32))


@pytest.mark.parametrize("schedule", ["3:5t", "3:0.5", "1:0.5,3:0"])
def test_a_schedule_that_keeps_some_is_refused(schedule):
    model = make_llava(6)
    with (
        pytest.raises(ScheduleError, match="asks for some"),
        v2drop.dropping(model, schedule, method="vtw"),
        torch.no_grad(),
    ):
        model(**one_prompt())
    with pytest.raises(ScheduleError, match="asks for some"):
        get_method("vtw").check(Schedule.parse(schedule))


@pytest.mark.parametrize("schedule", ["3:0", "3:0t", "3:1", "2:1,3:0"])
def test_a_schedule_that_keeps_all_or_none_is_not(schedule):
    get_method("vtw").check(Schedule.parse(schedule))
