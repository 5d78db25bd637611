"""A method's own schedule, and what it has to fit."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.toys import Once, registered
from tests.tiny_llava import PATCHES, make_llava, one_prompt
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.errors import ScheduleError, UnknownNameError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.registry import family_for
from v2drop_cli.schedule import Schedule


@pytest.fixture
def loaded():
    model = make_llava(12)
    family = family_for(model.config)
    return LoadedModel(model, None, family, torch.device("cpu"), torch.float32, "", None, "dummy")


def happened(model, *args, **kwargs):
    with v2drop.dropping(model, *args, **kwargs) as trace, torch.no_grad():
        model(**one_prompt())
    return {event.layer: event.after[0] for event in trace.events}


def test_without_a_schedule_the_methods_own_applies():
    model = make_llava(12)
    assert happened(model) == happened(model, "paper-192")
    assert happened(model, method="random") == happened(model, "paper-192")
    assert happened(model, method=Once()) == {2: PATCHES // 4}
    assert happened(model, method=Once(layer=3)) == {3: PATCHES // 4}
    assert happened(model, "4:0.5", method=Once()) == {4: PATCHES // 2}


def test_a_schedule_of_its_own_is_checked_like_any_other():
    with pytest.raises(ScheduleError, match="layer 99 does not exist"):
        happened(make_llava(12), method=Once(layer=99))


def arms(loaded, schedules, *methods):
    found = ArmOptions(schedules, methods).resolve(loaded, PATCHES)
    return [(arm.label, str(arm.schedule)) for arm in found[1:]]


def test_arms_take_a_methods_own_schedule_where_none_is_given(loaded, monkeypatch):
    registered(monkeypatch, Once)
    own = ScheduleOptions()
    assert arms(loaded, own, "v2drop", "once", "once:layer=3") == [
        ("v2drop", "1:0.5,6:0.3,8:0"),
        ("once", "2:0.25"),
        ("once:layer=3", "3:0.25"),
    ]
    given = ScheduleOptions(schedules=("5:0.5",), presets=("paper-64",))
    assert {text for _, text in arms(loaded, given, "v2drop", "once")} == {
        "5:0.5",
        "1:0.05,6:0.05,8:0",
    }


def test_a_budget_is_met_by_each_methods_own_knobs(loaded, monkeypatch):
    registered(monkeypatch, Once)
    budget = ScheduleOptions(budgets=("50%", "12"))
    found = ArmOptions(budget, ("v2drop", "once")).resolve(loaded, PATCHES)[1:]
    averages = [arm.schedule.resolve(PATCHES, 12).layer_average for arm in found]
    assert averages == pytest.approx([18, 18, 12, 12], abs=0.5)
    assert [len(arm.schedule.drops) for arm in found] == [3, 1, 3, 1]
    assert [arm.label for arm in found] == [
        *("v2drop budget 50%", "once budget 50%", "v2drop budget 12", "once budget 12"),
    ]
    layers = ScheduleOptions(budgets=("50%",), layers="3,5")
    assert [
        len(arm.schedule.drops) for arm in ArmOptions(layers, ("once",)).resolve(loaded, 36)[1:]
    ] == [2]


LATE = (8, 16, 24)  # of 32 layers, as PyramidDrop has them


@pytest.mark.parametrize(
    ("budget", "layers"),
    [
        (576, LATE),
        (192, LATE),
        (144, LATE),  # all gone at layer 8 is the least that these layers can do
        (143, (5, 10, 15)),  # 576 at 5.96 layers would be three quarters of it
        (128, (5, 10, 15)),
        (64, (2, 4, 6)),
        (20, (1, 2, 3)),  # 18 is the least with a whole first layer
    ],
)
def test_late_drops_move_to_where_a_small_budget_can_be_met(budget, layers):
    shape = Shape(32, n_vision=576)
    found = shape.solved(budget, LATE)
    assert tuple(drop.layer for drop in found.drops) == layers
    assert found.moved_from == (() if layers == LATE else LATE)
    assert found.resolve(576, 32).layer_average == pytest.approx(budget, abs=0.5)
    assert found == Schedule.parse(str(found))


def test_nothing_moves_to_layer_0_or_before_what_the_model_allows():
    for shape, least in ((Shape(32, n_vision=576), 1), (Shape(32, 3, n_vision=576), 3)):
        lowest = 576 * least / 32
        first = shape.solved(lowest, LATE).drops[0].layer
        assert first == least
        with pytest.raises(ScheduleError, match=f"first drop at layer {least} of 32"):
            shape.solved(lowest - 1, LATE)
    entry = Shape(32, n_vision=576).solved(3, (0,))
    assert (str(entry), entry.moved_from) == ("0:3t", ())


def test_layers_that_the_user_named_stay_where_they_are():
    with pytest.raises(ScheduleError, match="144 to 576"):
        Shape(32, n_vision=576).solved_at(128, LATE)


def test_only_v2drops_own_shape_drops_the_rest_at_last():
    shape = Shape(32, n_vision=576)
    assert shape.solved(192).drops[-1].count == 0
    alive, shares = 576, []
    for drop in shape.solved(300, LATE).drops:
        shares.append(drop.count / alive)
        alive = drop.count
    assert shares == pytest.approx([shares[0]] * 3, abs=0.01)


@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), 577])
def test_a_budget_that_means_nothing_moves_nothing(budget):
    with pytest.raises(ScheduleError):
        Shape(32, n_vision=576).solved(budget, LATE)
    assert str(Shape(32, n_vision=0).solved(0, (8,))) == "8:0t"


def test_the_shape_knows_presets_depths_and_budgets():
    shape = Shape(12, n_vision=36)
    assert shape.scaled((3, 17, 22)) == [1, 6, 8]
    assert str(shape.preset()) == "1:0.5,6:0.3,8:0"
    assert shape.solved(12).resolve(36, 12).layer_average == pytest.approx(12, abs=0.5)
    with pytest.raises(UnknownNameError):
        shape.preset("paper-1")
    with pytest.raises(ScheduleError, match="no prompt yet"):
        get_method("v2drop").schedule(12, Shape(12))
