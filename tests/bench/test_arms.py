"""Arms as options name them: their schedules, and labels that depend on nothing else."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES
from tests.methods.toys import First, Once, registered
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.errors import (
    ScheduleError,
    UnknownNameError,
    UnsupportedModelError,
    UsageError,
    V2DropError,
)
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.schedule import Schedule

LLAVA = get_family("llava")
LOADED = SimpleNamespace(
    family=LLAVA,
    n_layers=6,
    droppable=(1, None),
    check=lambda schedule: schedule.check(6),
)


def resolved(n_vision=36, methods=("v2drop",), **schedules):
    arms = ArmOptions(ScheduleOptions(**schedules), methods)
    arms.check()
    return [(a.label, str(a.schedule)) for a in arms.resolve(LOADED, n_vision)]


def labels(**options):
    return [label for label, _ in resolved(**options)[1:]]


@pytest.mark.parametrize(
    ("options", "label", "schedule"),
    [
        ({}, "v2drop", "1:0.5,3:0.3,4:0"),
        ({"ratios": ("0.5,25%",)}, "v2drop 1:0.5,3:0.25", "1:0.5,3:0.25"),
        ({"layers": "2,5", "ratios": ("0.5,0.25",)}, "v2drop 2:0.5,5:0.25",
         "2:0.5,5:0.25"),
        ({"presets": ("paper-64",)}, "v2drop paper-64", "1:0.05,3:0.05,4:0"),
        ({"layers": "2", "budgets": ("24",)}, "v2drop budget 24 at 2", "2:18t"),
    ],
)  # fmt: skip
def test_an_arm_and_its_label(options, label, schedule):
    assert resolved(**options) == [("dense", "None"), (label, schedule)]


@pytest.mark.parametrize(
    "ways",
    [
        # Nothing asked for, the preset that stands for it, and the same in figures.
        [{}, {"presets": ("paper-192",)}, {"schedules": ("1:0.5,3:0.3,4:0",)},
         {"ratios": ("50%,30%,0",)}],
        [{"presets": ("paper-64",)}, {"schedules": ("1:5%,3:0.05,4:0",)}],
        [{"schedules": ("1:0.5",)}, {"schedules": (" 1:50% ",)}, {"ratios": ("0.50",)}],
        [{"budgets": ("24",)}, {"budgets": ("24.0",)}],
        [{"budgets": ("33%",)}, {"budgets": ("33.0%",)}],
    ],
)  # fmt: skip
def test_one_schedule_has_one_label_however_it_was_asked_for(ways):
    assert len({tuple(labels(**way)) for way in ways}) == 1


def test_a_label_does_not_depend_on_what_else_is_asked_for():
    alone = {"schedules": ("1:0.5",), "methods": ("v2drop",)}
    more = {
        "schedules": ("1:0.5", "2:0"),
        "presets": ("paper-192",),
        "methods": ("random", "v2drop"),
    }
    assert labels(**alone) == ["v2drop 1:0.5"]
    assert labels(**more) == [
        "random 1:0.5", "v2drop 1:0.5", "random 2:0", "v2drop 2:0", "random", "v2drop",
    ]  # fmt: skip


def test_arms_with_the_same_label_are_one():
    assert labels(schedules=("1:0.5", "1:50%", "2:0")) == ["v2drop 1:0.5", "v2drop 2:0"]
    assert labels(methods=("v2drop", "random", "v2drop")) == ["v2drop", "random"]


def test_one_set_of_options_serves_prompts_of_different_sizes():
    options = ArmOptions(ScheduleOptions(budgets=("50%", "20"), presets=("paper-64",)))
    small, large = (options.resolve(LOADED, n) for n in (36, 72))
    wanted = ["dense", "v2drop paper-64", "v2drop budget 50%", "v2drop budget 20"]
    assert [arm.label for arm in small] == [arm.label for arm in large] == wanted
    averages = [
        [arm.schedule.resolve(n, LOADED.n_layers).layer_average for arm in arms[1:]]
        for n, arms in ((36, small), (72, large))
    ]
    assert averages[0][1:] == pytest.approx([18, 20], abs=0.5)
    assert averages[1][1:] == pytest.approx([36, 20], abs=0.5)
    assert small[1].schedule == large[1].schedule


def test_arms_that_do_not_fit():
    with pytest.raises(ScheduleError, match="layer 9"):
        resolved(schedules=("9:0.5",))
    with pytest.raises(ScheduleError, match="layer 9"):
        resolved(layers="9", budgets=("30",))


# What was typed is checked before a model is there --------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"schedules": ("1:0.5", "x")}, ScheduleError, "x"),
        ({"presets": ("paper-192", "paper-1")}, UnknownNameError, "preset"),
        ({"budgets": ("24", "many")}, ScheduleError, "'many' is no number"),
        ({"budgets": ("120%",)}, ScheduleError, "'120%' is no share"),
        ({"layers": "2,5"}, UsageError, "where, not how much"),
        ({"layers": "2,5", "schedules": ("1:0.5",)}, UsageError, "where, not how much"),
        ({"layers": "2,x", "budgets": ("24",)}, ScheduleError, "'2,x' are no layer numbers"),
        ({"layers": "2,,5", "budgets": ("24",)}, ScheduleError, "--layers '2,,5' has an empty"),
        ({"layers": "2,5", "ratios": ("0.5",)}, ScheduleError, "2 layers but 1 ratios"),
        ({"layers": "5,2", "ratios": ("0.5,0.2",)}, ScheduleError, "layer 2 comes after layer 5"),
        ({"ratios": ("0.5", "0.5,")}, ScheduleError, "--ratios '0.5,' has an empty entry"),
        ({"ratios": ("0.5,most",)}, ScheduleError, "--ratios '0.5,most'"),
    ],
)
def test_what_is_wrong_whatever_the_model_is_told_at_once(options, error, said):
    with pytest.raises(error) as caught:
        ArmOptions(ScheduleOptions(**options)).check()
    assert said in caught.value.message
    assert caught.value.hint


def test_what_is_right_passes():
    ScheduleOptions().check()
    ScheduleOptions(layers="2,5", budgets=("24",)).check()
    ScheduleOptions(layers=" 2 , 5 ", ratios=("0.5,64t", "25%, 0")).check()
    ScheduleOptions(("1:0.5",), None, ("0.5,0.4,0.3,0.2,0.1",), ("paper-64",), ("33%",)).check()


def test_an_unknown_method_is_told_at_once():
    for name in ("v3drop", "a"):
        with pytest.raises(UnknownNameError, match="method"):
            ArmOptions(methods=("v2drop", name)).check()
    ArmOptions(methods=("v2drop", "random")).check()
    ArmOptions(methods=("all",)).check()


def test_a_share_of_no_vision_tokens_is_none():
    assert resolved(n_vision=0, budgets=("33%",))[1:] == [("v2drop budget 33%", "1:0t,3:0t,4:0t")]


@pytest.mark.parametrize("value", [ScheduleOptions(), ArmOptions(), Arm("dense")])
def test_options_and_arms_are_values(value):
    with pytest.raises(FrozenInstanceError):
        setattr(value, "seed" if hasattr(value, "seed") else "layers", 1)
    assert hash(value) == hash(value)


# Schedules of a model and a prompt -----------------------------------------------------------


def test_more_ratios_than_a_preset_has_layers_need_layers():
    assert labels(ratios=("0.5,0.4,0.3",)) == ["v2drop 1:0.5,3:0.4,4:0.3"]
    with pytest.raises(ScheduleError, match="4 ratios, but presets drop at 3 layers only"):
        resolved(ratios=("0.5,0.4,0.3,0.2",))
    assert labels(layers="1,2,3,4", ratios=("0.5,0.4,0.3,0.2",)) == [
        "v2drop 1:0.5,2:0.4,3:0.3,4:0.2"
    ]


def test_every_kind_of_schedule_together_and_none_twice():
    found = resolved(
        schedules=("2:0.5",), layers="3", ratios=("0.25",), presets=("paper-64",), budgets=("50%",)
    )
    assert [label for label, _ in found] == [
        "dense", "v2drop 2:0.5", "v2drop 3:0.25", "v2drop paper-64", "v2drop budget 50% at 3",
    ]  # fmt: skip
    assert found[-1][1] == "3:0t"


@pytest.mark.parametrize(
    ("text", "name", "average"),
    [("9", "9", 9), ("25%", "25%", 9), ("9.50", "9.5", 9.5), ("37.50%", "37.5%", 13.5)],
)
def test_a_budget_is_a_number_or_a_share_of_the_vision_tokens(text, name, average):
    options = ArmOptions(ScheduleOptions(budgets=(text,)))
    _, arm = options.resolve(LOADED, 36)
    assert arm.label == f"v2drop budget {name}"
    assert arm.schedule.resolve(36, 6).layer_average == pytest.approx(average, abs=0.5)


def test_a_method_brings_its_own_layers_and_parameters(monkeypatch):
    registered(monkeypatch, Once, First)
    methods = ("once", "once:layer=3", "first:share=0.5")
    assert resolved(methods=methods)[1:] == [
        ("once", "2:0.25"), ("once:layer=3", "3:0.25"), ("first", "1:0.5,3:0.3,4:0"),
    ]  # fmt: skip
    assert resolved(methods=("once:layer=3",), budgets=("24",))[1:] == [
        ("once:layer=3 budget 24", "3:12t"),
    ]  # fmt: skip
    # The schedule of one method is another's label.
    assert labels(methods=("once", "first"), schedules=("2:0.25",)) == ["once", "first 2:0.25"]


def test_a_drop_that_a_method_or_a_model_cannot_make_is_refused():
    with pytest.raises(ScheduleError):
        resolved(methods=("v2drop",), schedules=("0:0.5",))
    with pytest.raises((ScheduleError, UnsupportedModelError)):
        resolved(methods=("v2drop", "random"), schedules=("1:0.5", "6:0.5"))


def test_arms_have_the_seed_that_was_asked_for():
    options = ArmOptions(ScheduleOptions(), ("v2drop", "random"), seed=7)
    dense, *others = options.resolve(LOADED, 36)
    assert dense == Arm("dense")
    assert [(arm.method, arm.seed) for arm in others] == [("v2drop", 7), ("random", 7)]
    assert (Arm("dense").seed, ArmOptions().seed, ArmOptions().methods) == (0, 0, ("v2drop",))


# An arm applied ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llava():
    return make_llava(6)


@pytest.mark.parametrize("seed", [0, 3])
def test_an_applied_arm_drops_as_it_says(llava, seed):
    schedule, inputs, marks = Schedule.parse("2:0.5"), one_prompt(), []
    device, family = torch.device("cpu"), family_for(llava.config)
    loaded = LoadedModel(llava, None, family, device, torch.float32, "", None, "dummy")
    with torch.no_grad():
        with dropping(llava, schedule, method="random", seed=seed) as wanted:
            llava(**inputs)
        with Arm("random", "random", schedule, seed).applied(loaded, marks.append) as trace:
            llava(**inputs)
    assert [event.kept for event in trace.events] == [event.kept for event in wanted.events]
    assert marks


def test_a_dense_arm_changes_nothing_and_tells_of_no_drop(llava):
    loaded, inputs = SimpleNamespace(model=llava), one_prompt()
    schedule = Schedule.parse("2:0.5")
    with torch.no_grad():
        wanted = llava(**inputs).logits
        for arm in (Arm("dense"), Arm("dense", "v2drop"), Arm("dense", None, schedule)):
            with arm.applied(loaded) as trace:
                assert torch.equal(llava(**inputs).logits, wanted)
            assert trace.events == []


@pytest.mark.parametrize("text", ["mustdrop:g=0.003", "mustdrop:window=0.9,q=0"])
def test_a_budget_finds_thresholds_so_none_are_given(text):
    budgets = ScheduleOptions(budgets=("33%",))
    with pytest.raises(UsageError, match="and a budget finds them"):
        ArmOptions(budgets, (text,)).check()
    ArmOptions(budgets, ("mustdrop:window=0.9", "fastv")).check()
    ArmOptions(ScheduleOptions(), (text,)).check()


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_budget_is_finite(text):
    with pytest.raises(ScheduleError, match="no number"):
        ArmOptions(ScheduleOptions(budgets=(text,))).check()


# What a configuration tells ---------------------------------------------------------------------


def checked(config, *methods):
    ArmOptions(methods=methods).check_model(config)


@pytest.mark.parametrize(
    ("family", "method", "said"),
    [
        ("paligemma", "visionzip:positions=original", "no class token"),
        ("qwen2_vl", "holov", "vision tower"),
        ("qwen2_vl", "divprune", "three axes"),
        ("qwen2_vl", "random+sparsevlm", "sparsevlm numbers its survivors anew"),
        ("llava", "metacompress", "tiny only"),
    ],
)
def test_a_method_that_a_configuration_rules_out_is_refused_by_name(family, method, said):
    config = CASES[family].make("sdpa").config
    with pytest.raises(V2DropError, match=said) as caught:
        checked(config, "v2drop", method)
    assert caught.value.hint
    checked(config, "v2drop", "all")  # which leaves it out, and says so


def test_methods_that_can_work_are_let_through():
    checked(CASES["llava"].make("sdpa").config, "visionzip", "divprune", "random+sparsevlm")
    checked(CASES["qwen2_vl"].make("sdpa").config, "divprune:positions=original", "v2drop")


def test_methods_look_at_the_kind_of_media_too():
    for methods in (("evs",), ("v2drop", "evs")):
        with pytest.raises(UnsupportedModelError, match="frames of a video"):
            ArmOptions(methods=methods).check_media(frozenset({"image"}))
        ArmOptions(methods=methods).check_media(frozenset({"video"}))
    ArmOptions(methods=("all", "v2drop")).check_media(frozenset({"image"}))
