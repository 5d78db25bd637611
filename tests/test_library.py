"""The public face: every name of it, its types, and `profile` with few arguments."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import v2drop_cli as v2drop
from tests import library
from tests.methods.toys import Choosy, only, registered
from tests.patience import PATIENCE_S
from v2drop_cli import errors
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.stopping import StopRule
from v2drop_cli.commands.profile import ProfileOptions
from v2drop_cli.library import Settings, _options

SCENE = Path(__file__).parents[1] / "sample_media" / "scene.png"
FEW = {"repeats": 1, "warmup": 0, "max_time_s": 0.0, "new_tokens": 1, "max_new_tokens": 2}


def alone(code):
    """What `code` prints in a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The names ------------------------------------------------------------------------------------

PROMISED = {
    *("dropping", "load", "profile", "load_image", "load_video", "solve_budget"),
    *("Schedule", "Drop", "DropPlan", "DropTrace", "Method", "LoadedModel", "Media", "Report"),
    "__version__",
}
ERRORS = {
    name
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, errors.V2DropError)
}


def test_the_public_names_are_those_promised_and_every_error():
    assert set(v2drop.__all__) == PROMISED | ERRORS
    assert set(dir(v2drop)) == set(v2drop.__all__)
    assert len(v2drop.__all__) == len(set(v2drop.__all__))


@pytest.mark.parametrize("name", v2drop.__all__)
def test_each_name_is_there_and_documented(name):
    found = getattr(v2drop, name)
    if name == "__version__":
        assert found.count(".") == 2
        return
    assert found.__name__ == name
    assert found.__doc__
    assert f"| `{name}` |" in library.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_each_error_is_the_one_that_is_raised(name):
    assert getattr(v2drop, name) is getattr(errors, name)
    assert issubclass(getattr(v2drop, name), v2drop.V2DropError)


@pytest.mark.parametrize("name", ["dropping", "load", "load_image", "load_video", "profile"])
def test_each_function_is_typed(name):
    found = inspect.signature(getattr(v2drop, name))
    assert found.return_annotation is not inspect.Signature.empty
    for parameter in found.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        v2drop.nonsense  # noqa: B018
    assert (Path(v2drop.__file__).parent / "py.typed").is_file()


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, v2drop_cli\n{}\nprint(*sys.modules)"
    heavy = {"torch", "transformers", "scipy", "numpy", "PIL", "av"}
    light = "v2drop_cli.Schedule, v2drop_cli.ScheduleError, v2drop_cli.load_image, v2drop_cli.Media"
    assert not heavy & set(alone(code.format("dir(v2drop_cli)")).split())
    assert not heavy & set(alone(code.format(light)).split())


def test_a_star_brings_all_of_them():
    code = "from v2drop_cli import *\nprint(dropping.__name__, UsageError.__name__, __version__)"
    assert alone(code).split() == ["dropping", "UsageError", v2drop.__version__]


def test_the_page_has_the_names_as_they_are():
    """Made by `python -m tests.library`."""
    page = library.PAGE.read_text(encoding="utf-8")
    assert library.filled(page) == page


# `profile` ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded():
    return v2drop.load("tiny", device="cpu")


def test_profile_with_few_arguments(loaded):
    question = "what color is the triangle?"
    report = v2drop.profile(loaded, v2drop.load_image(SCENE), question, **FEW)
    assert isinstance(report, v2drop.Report)
    assert [arm.method for arm in report.arms] == [None, "v2drop", "random"]
    assert report.arms[0].answer.text == "green"
    assert report.request.prompt == question
    assert report.request.model == "tiny"


def test_profile_with_a_schedule_of_its_own_and_the_models_question(loaded):
    report = v2drop.profile(
        loaded,
        [v2drop.load_image(SCENE)],
        schedule=[v2drop.Schedule.parse("1:0.5"), "paper-64"],
        method="uniform",
        with_random=False,
        **FEW,
    )
    assert report.request.prompt == "How many circles are there?"
    assert [arm.method for arm in report.arms] == [None, "uniform", "uniform"]
    assert report.arms[1].schedule == "1:0.5"


def test_all_and_two_in_a_row_are_methods_of_the_library_too(loaded, monkeypatch):
    only(monkeypatch, "uniform", "v2drop")
    registered(monkeypatch, Choosy)
    asked = {"method": ["all", "uniform+v2drop"], "budget": "20%", "with_random": False}
    report = v2drop.profile(loaded, v2drop.load_image(SCENE), "why?", **asked, **FEW)
    labels = [arm.label for arm in report.arms[1:]]
    assert labels == [f"{name} budget 20%" for name in ("v2drop", "uniform", "uniform+v2drop")]
    averages = [arm.layer_average_vision_tokens for arm in report.arms[1:]]
    assert averages == pytest.approx([576 / 5] * 3, abs=0.5)
    assert [c.code for c in report.warnings if "choosy" in c.message] == ["method_left_out"]


def test_profile_takes_all_options_at_once_as_ever(loaded):
    arms = ArmOptions(ScheduleOptions(("1:0.5",)))
    rest = {name: FEW[name] for name in ("warmup", "new_tokens", "max_new_tokens")}
    options = ProfileOptions("why?", "mine", arms, StopRule(1, max_time_s=0), **rest)
    report = v2drop.profile(loaded, [v2drop.load_image(SCENE)], options)
    assert (report.request.model, report.request.prompt) == ("mine", "why?")
    with pytest.raises(v2drop.UsageError, match="seed given twice"):
        v2drop.profile(loaded, [v2drop.load_image(SCENE)], options, seed=1)


def test_what_cannot_be_asked_is_refused_before_anything_is_measured(loaded):
    image = v2drop.load_image(SCENE)
    with pytest.raises(v2drop.UnknownNameError, match="'max_time'") as caught:
        v2drop.profile(loaded, image, "why?", max_time=3)
    assert "did you mean max_time_s" in caught.value.hint
    with pytest.raises(v2drop.UnknownNameError, match="preset 'paper-19'"):
        v2drop.profile(loaded, image, "why?", schedule="paper-19")
    with pytest.raises(v2drop.UnknownNameError, match="method"):
        v2drop.profile(loaded, image, "why?", method="v2drup")


def test_every_setting_reaches_the_options():
    """Each has a value that is not the default, and that is what the options then hold."""
    given = {
        "schedule": ("1:0.5", "paper-64"), "budget": "33%", "method": ["random", "v2drop"],
        "seed": 7, "repeats": 3, "precision": 0.2, "max_time_s": 4.0, "with_random": False,
        "max_new_tokens": 5, "new_tokens": 6, "warmup": 8, "batch_size": 9, "decode": "compiled",
        "explain": True,
    }  # fmt: skip
    assert given.keys() == Settings.__annotations__.keys()
    options = _options("tiny", "why?", given)
    places = options.arms.schedules
    assert (places.schedules, places.presets, places.budgets) == (("1:0.5",), ("paper-64",), ("33%",))  # fmt: skip # noqa: E501
    assert (options.arms.methods, options.arms.seed) == (("random", "v2drop"), 7)
    for part in (options, options.stop):
        for field in fields(part):
            if field.name in given:
                assert getattr(part, field.name) == given[field.name], field.name
