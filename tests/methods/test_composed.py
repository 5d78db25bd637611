"""Two methods in a row, under one budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.toys import Entry, Extra, Once, registered
from tests.tiny_llava import IMAGE, make_llava, one_prompt
from v2drop_cli.errors import ScheduleError, UnknownNameError, UsageError
from v2drop_cli.methods.parameters import parameters_of, written
from v2drop_cli.methods.registry import check_method, get_method, name_of, parts_of
from v2drop_cli.methods.shape import Shape
from v2drop_cli.records import CaveatKind
from v2drop_cli.schedule import Schedule


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    registered(monkeypatch, Entry, Extra, Once)


def test_each_reduces_by_the_same_factor():
    found = get_method("entry+v2drop").schedule(64, Shape(32, n_vision=576))
    entry, *inside = found.drops
    assert (entry.layer, entry.count) == (0, round(math.sqrt(64 * 576)))
    assert [drop.layer for drop in inside] == [3, 17, 22]
    assert found.resolve(576, 32).layer_average == pytest.approx(64, abs=0.5)


@pytest.mark.parametrize("first", ["random", "uniform", "entry"])
@pytest.mark.parametrize("second", ["v2drop", "once:layer=4", "random"])
@pytest.mark.parametrize("share", [1.0, 0.5, 1 / 9])
def test_one_budget_whatever_the_two(first, second, share):
    if first == second:
        second = "uniform"
    shape = Shape(24, n_vision=1000)
    found = get_method(f"{first}+{second}").schedule(share * 1000, shape)
    average = found.resolve(1000, 24).layer_average
    assert average == pytest.approx(share * 1000, rel=0.01)


def test_the_first_makes_up_for_a_second_without_counts():
    """VTW drops all at one layer: 0:180t,15:0 is 84 of 576 at 32 layers, 0:137t,15:0 is 64."""
    found = get_method("entry+vtw").schedule(64, Shape(32, n_vision=576))
    assert found.resolve(576, 32).layer_average == pytest.approx(64, abs=0.5)
    assert found.drops[1].count == 0


def test_without_a_budget_it_is_a_third_in_shares_of_any_prompt():
    method = get_method("entry+v2drop")
    found = method.schedule(None, Shape(32))
    assert found == method.schedule(None, Shape(32, n_vision=77))
    assert all(drop.count is None for drop in found.drops)
    assert found.resolve(9000, 32).layer_average == pytest.approx(3000, rel=0.01)


def test_a_budget_that_nothing_meets_is_refused():
    method = get_method("random+v2drop")
    assert method.schedule(5.01, Shape(32, n_vision=6)).drops[0].count == 5  # √30.06, rounded
    for budget in (-1, 577, math.nan):
        with pytest.raises(ScheduleError):
            method.schedule(budget, Shape(32, n_vision=576))
    with pytest.raises(ScheduleError, match="no prompt yet"):
        method.schedule(64, Shape(32))


def test_each_chooses_where_it_belongs():
    """Entry keeps the first tokens of a row, v2drop what it would alone in a prompt of these."""
    model, inputs = make_llava(12), one_prompt()
    schedule, first = "0:12t,2:4t", "entry:start=5"
    with v2drop.dropping(model, schedule, method=f"{first}+v2drop") as both, torch.no_grad():
        model(**inputs)
    with v2drop.dropping(model, schedule, method=first) as entry, torch.no_grad():
        model(**inputs)
    first, second = both.events
    start = int((inputs["input_ids"][0] == IMAGE).nonzero()[0])
    assert first.kept[0] == entry.events[0].kept[0] == tuple(range(start, start + 12))
    assert set(second.kept[0]) < set(first.kept[0])
    assert second.kept != entry.events[1].kept


def test_a_part_without_counts_of_its_own_keeps_what_the_schedule_says():
    """Extra keeps a quarter more at each of its drops; entry is asked for no such thing."""
    model, inputs = make_llava(12), one_prompt()

    def counts(schedule):
        with v2drop.dropping(model, schedule, method="entry+extra") as trace, torch.no_grad():
            model(**inputs)
        return [(event.layer, event.after[0]) for event in trace.events]

    assert counts("0:12t,2:4t") == [(0, 12), (2, 5)]
    assert counts("0:1.0,2:4t") == [(2, 5)]
    assert counts("0:0,2:4t") == [(0, 0)]


def test_in_text_and_back():
    text = "entry:start=2+once:layer=4"
    method = get_method(text)
    assert written(method) == text
    assert get_method(written(method)) == method
    assert method.name == name_of(text) == "entry+once"
    assert parameters_of(method)["entry.start"] == 2
    assert parameters_of(method)["once.layer"] == 4
    assert parts_of("first:words=a+b+v2drop") == ["first:words=a+b", "v2drop"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v2drop+random", "v2drop cannot come first"),
        ("once+v2drop", "once cannot come first"),
        ("mustdrop+v2drop", "mustdrop cannot be part of mustdrop.v2drop"),
        ("visionzip+mustdrop", "mustdrop cannot be part of visionzip.mustdrop"),
        ("visionzip+", "half of"),
        ("+v2drop", "half of"),
        ("random+entry", "entry cannot come second"),
        ("random+random:positions=original", "one method twice"),
        ("random+uniform+v2drop", "3 methods"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        check_method(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["random+v2dorp", "rondam+v2drop"])
def test_both_names_must_be_known(text):
    with pytest.raises(UnknownNameError):
        check_method(text)


@pytest.mark.parametrize(("schedule", "idle"), [("3:0.5", "random"), ("0:0.5", "v2drop")])
def test_a_schedule_that_leaves_one_of_them_idle_is_refused(schedule, idle):
    context = v2drop.dropping(make_llava(12), schedule, method="random+v2drop")
    with pytest.raises(ScheduleError, match=f"would never ask {idle}"), context:
        pass


def test_each_may_refuse_its_own_part_of_a_schedule():
    with pytest.raises(ScheduleError, match="vtw"):
        get_method("random+vtw").check(Schedule.parse("0:0.5,3:0.5"))
    get_method("random+vtw").check(Schedule.parse("0:0.5,3:0"))


@dataclass(frozen=True)
class Attaching(Entry):
    """Is given another start together with the model."""

    name = "attaching"

    def attach(self, model, processor):
        return replace(self, start=7)

    def caveats(self):
        return (CaveatKind.DEVICE_CPU.caveat(),)


def test_what_is_attached_and_said_is_handed_on(monkeypatch):
    registered(monkeypatch, Attaching)
    method = get_method("attaching+v2drop")
    assert method.attach(None, None).at(0).start == 7
    assert method.caveats() == Attaching().caveats()


def test_its_needs_are_those_of_both():
    method = get_method("random+v2drop")
    assert method.needs == get_method("v2drop").needs
    assert not method.chooses_count
    assert get_method("entry+extra").chooses_count
