"""Arms as options name them: their schedules, and labels that depend on nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.errors import ScheduleError
from v2drop_cli.models.registry import get_family

LLAVA = get_family("llava")
LOADED = SimpleNamespace(
    family=LLAVA,
    n_layers=6,
    first_droppable=1,
    check=lambda schedule: LLAVA.check(schedule, None, 6),
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
