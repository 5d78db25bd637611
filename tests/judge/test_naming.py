"""Which arm a name means, and which arms of two reports are one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.bench.arms import Arm
from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.judge.naming import arm_called, check_names, matched, same_arm
from v2drop_cli.schedule import Schedule

DENSE = factory.dense()
OWN = factory.dropped()
HALF = factory.dropped("v2drop 1:0.5", schedule="1:0.5")
BUDGET = factory.dropped("random budget 33%", schedule="2:18t")
TUNED = factory.dropped(
    "fastv:layer=3 1:0.5", method="fastv", schedule="1:0.5", parameters={"layer": 3}
)
BOTH = factory.dropped(
    "hired:rate=0.3+v2drop budget 33%", method="hired+v2drop", schedule="0:9t,2:0"
)
ARMS = (DENSE, OWN, HALF, BUDGET, TUNED, BOTH)


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("dense", DENSE),
        ("v2drop", OWN),  # a label goes before all arms of the method
        ("v2drop 1:0.5", HALF),
        ("v2drop 1:50%", HALF),  # as typed, and as labels were before
        ("v2drop 0.5", HALF),
        ("v2drop paper-192", OWN),
        (f"v2drop {OWN.schedule}", OWN),
        ("random", BUDGET),
        ("random budget 33%", BUDGET),
        ("random 2:18t", BUDGET),
        ("fastv", TUNED),
        ("fastv:layer=3", TUNED),
        ("fastv 1:0.5", TUNED),
        ("hired+v2drop", BOTH),
        ("hired:rate=0.3+v2drop", BOTH),
        ("hired:rate=0.3+v2drop budget 33%", BOTH),
        ("hired", None),
        ("hired:rate=0.3", None),
        ("1:0.5", None),
        ("v2drop a-typo", None),
        ("v2drop zzz", None),
        ("none", None),
    ],
)
def test_a_name_is_a_label_or_as_much_as_tells_an_arm_apart(name, arm):
    assert arm_called(name, ARMS) is arm


@pytest.mark.parametrize("label", ["first arm", "z arm"])
def test_the_first_word_of_a_label_of_ones_own_is_no_method(label):
    arm = replace(OWN, label=label)
    assert arm_called(label.split()[0], (arm,)) is None
    assert arm_called("v2drop", (arm,)) is arm


def test_a_name_that_could_be_several_is_refused_with_their_labels():
    with pytest.raises(UsageError, match=r"'v2drop' could be any of v2drop 1:0.5, v2drop 2:0"):
        arm_called("v2drop", (DENSE, HALF, factory.dropped("v2drop 2:0", schedule="2:0")))


def test_names_are_checked_before_anything_is_measured():
    arms = (Arm("dense"), Arm("v2drop 1:0.5", "v2drop", Schedule.parse("1:0.5")))
    check_names(("dense", "v2drop", "v2drop 1:0.5"), arms)
    with pytest.raises(UnknownNameError, match="unknown arm 'v2dorp'"):
        check_names(("v2drop", "v2dorp"), arms)


def test_the_same_arm_is_method_parameters_and_schedule():
    assert same_arm(OWN, replace(OWN, label="x"))
    assert not same_arm(OWN, replace(OWN, method="random"))
    assert not same_arm(OWN, replace(OWN, schedule="1:0.5"))
    assert not same_arm(TUNED, replace(TUNED, parameters={"layer": 2}))
    assert same_arm(TUNED, replace(TUNED, parameters={}))  # older: nothing is known of them
    # Those of every method that there was then kept their positions.
    assert same_arm(OWN, replace(OWN, parameters={"positions": "original"}))
    anew = replace(OWN, parameters={"positions": "renumbered"})
    assert not same_arm(OWN, anew)
    assert not same_arm(anew, OWN)


def test_arms_are_matched_once_each_in_the_order_of_a():
    assert matched(ARMS, ARMS[::-1]) == [(arm, arm) for arm in ARMS]
    twin = replace(HALF, label="v2drop budget 50%")
    assert matched((twin, HALF), (HALF, twin)) == [(twin, twin), (HALF, HALF)]
    assert matched((HALF, twin), (twin,)) == [(twin, twin)]
    assert matched((HALF,), (twin,)) == [(HALF, twin)]
    assert matched((HALF,), (OWN,)) == []


def test_labels_are_compared_by_what_they_say():
    """Two reports are two files: the same label is another string in each."""
    labels = ("v2drop 1:0.5", "v2drop budget 50%")
    ours = [replace(HALF, label=label) for label in labels]
    theirs = [replace(HALF, label="".join(list(label))) for label in labels]
    assert matched(ours, theirs[::-1]) == list(zip(ours, theirs, strict=True))
    assert matched(ours, theirs[1:]) == [(ours[1], theirs[1])]
    assert matched(ours[::-1], theirs[:1]) == [(ours[0], theirs[0])]


def test_what_prefills_found_for_one_budget_makes_no_other_arm():
    found = {"budget": "33%", "solved": ("g", "q")}
    one = factory.dropped(
        "must budget 33%", method="must", parameters={"g": 0.001, "q": 0.002, "key": 0.1}, **found
    )
    digit = replace(one, parameters={"g": 0.00101, "q": 0.002, "key": 0.1})
    assert same_arm(one, digit)
    assert matched((one,), (digit,)) == [(one, digit)]
    assert not same_arm(one, replace(digit, budget="50%"))
    assert not same_arm(one, replace(digit, parameters={**digit.parameters, "key": 0.2}))
    assert not same_arm(one, replace(digit, method="other"))
    assert not same_arm(one, replace(digit, schedule="1:0.5"))
    typed = replace(digit, budget=None, solved=())
    assert not same_arm(one, typed)
    assert not same_arm(typed, one)
    # Nobody asked for a budget: then parameters are what was asked for.
    assert not same_arm(replace(one, budget=None), replace(digit, budget=None))
    assert same_arm(one, replace(digit, solved=()))
    anew = replace(digit, parameters={**digit.parameters, "positions": "renumbered"})
    assert not same_arm(one, anew)


def test_so_does_a_schedule_that_was_found():
    one = factory.dropped("extra budget 12", schedule="2:9t", budget="12", solved=("schedule",))
    other = replace(one, schedule="2:8t")
    assert same_arm(one, other)
    assert not same_arm(one, replace(other, parameters={"positions": "renumbered"}))
    assert not same_arm(replace(one, solved=()), replace(other, solved=()))
