"""A method's parameters: read from text, refused with a way forward, written back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

import v2drop_cli as v2drop
from tests.methods.toys import First, registered
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.parameters import build, parameters_of, split, written
from v2drop_cli.methods.registry import METHODS, check_method, get_method


@pytest.fixture(autouse=True)
def first(monkeypatch):
    registered(monkeypatch, First)


def test_every_kind_of_parameter_is_read_as_its_field_says():
    found = get_method("first: start=3, share=0.25 ,loud=true,words=a:b,side=right")
    assert found == First(3, 0.25, True, "a:b", "right")
    values = parameters_of(found)
    assert [*values] == ["start", "share", "loud", "words", "side", "positions"]
    assert [*map(type, values.values())] == [int, float, bool, str, str, str]
    assert get_method("first") == First()
    assert get_method("first:words=") == First()


@pytest.mark.parametrize(
    "text", ["first:", "first:3", "first:=3", "first:start=1,start=2", "first:start=1,,loud=true"]
)
def test_what_is_no_list_of_parameters_is_refused(text):
    with pytest.raises(UsageError) as caught:
        check_method(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["start=1.5", "start=", "share=half", "share=nan", "share=inf", "loud=1", "share=2"]
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(text):
    with pytest.raises(UsageError, match="first") as caught:
        check_method(f"first:{text}")
    assert text.partition("=")[0] in caught.value.message


@pytest.mark.parametrize(("text", "near"), [("strat=1", "start"), ("side=rihgt", "right")])
def test_a_near_miss_is_told_the_name(text, near):
    with pytest.raises(UnknownNameError) as caught:
        check_method(f"first:{text}")
    assert f"did you mean {near}?" in caught.value.hint


def test_a_parameter_that_the_method_lacks():
    with pytest.raises(UnknownNameError, match="parameter of v2drop"):
        check_method("v2drop:order=1")


def test_every_method_says_where_its_survivors_are():
    assert get_method("v2drop") == get_method("v2drop:positions=original")
    assert get_method("v2drop:positions=renumbered").positions == "renumbered"
    with pytest.raises(UnknownNameError, match="positions of v2drop"):
        check_method("v2drop:positions=new")


def test_a_field_that_text_cannot_give_is_refused():
    @dataclass(frozen=True)
    class Listed(Method):
        name, paper = "listed", "none"
        layers: tuple[int, ...] = ()

    with pytest.raises(UsageError, match="layers of listed"):
        build(Listed, {"layers": "1"})
    assert build(Listed, {}) == Listed()


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (First(), "first"),
        (First(start=2), "first:start=2"),
        (First(side="right", share=0.1, loud=True), "first:share=0.1,loud=true,side=right"),
    ],
)
def test_the_text_form_holds_what_differs_in_one_order_and_is_read_back(method, text):
    assert written(method) == text
    assert get_method(text) == method


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_frozen_and_written_as_it_is_read(name):
    method = get_method(name)
    assert written(method) == name
    with pytest.raises(AttributeError):
        method.anything = 1


def test_a_bare_name_is_checked_without_torch():
    code = (
        "import sys; from v2drop_cli.methods.registry import check_method;"
        "check_method('v2drop'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dropping_takes_parameters_as_text_and_as_an_instance():
    model, inputs = make_llava(12), one_prompt()
    kept = []
    for method in ("first:start=2", First(start=2), "first"):
        with v2drop.dropping(model, "1:1t", method=method) as trace:
            model(**inputs)
        kept.append(trace.events[0].kept[0][0])
    assert kept[0] == kept[1] == kept[2] + 2
    with (
        pytest.raises(UsageError, match="start"),
        v2drop.dropping(model, "1:1t", method="first:start=x"),
    ):
        pass


def test_split_names_what_was_typed():
    assert split(" v2drop ") == ("v2drop", {})
    assert split("a:b=c=d") == ("a", {"b": "c=d"})
