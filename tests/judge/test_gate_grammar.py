"""The grammar of both commands' gates, on metrics that exist nowhere."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.judge.gate_grammar import CHANGE_SIGN, Condition, Form, parse_conditions

HINT = "write it so"
VALUES = Form(("speed", "size"), HINT, changes=False)
CHANGES = Form(("speed", "size"), HINT, changes=True)


def read(text, form=VALUES):
    return [
        (gate.arm, gate.metric, gate.sign, gate.limit) for gate in parse_conditions([text], form)
    ]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_every_sign_is_read_whole(sign):
    assert read(f"speed{sign}1.5") == [(None, "speed", sign, 1.5)]
    assert read(f"arm:speed {sign} 1.5") == [("arm", "speed", sign, 1.5)]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1", 1.0), ("-2.5", -2.5), ("1e3", 1000.0), ("inf", math.inf),
        ("true", 1.0), ("false", 0.0),
    ],
)  # fmt: skip
def test_numbers_and_truth_values(text, limit):
    assert read(f"speed<{text}") == [(None, "speed", "<", limit)]


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), ("0%", 0.0), ("100%", 1.0), ("250%", 2.5),
     ("0.999", 0.999)],
)  # fmt: skip
def test_shares(text, share):
    assert read(f"speed:{text}", CHANGES) == [(None, "speed", CHANGE_SIGN, pytest.approx(share))]


@pytest.mark.parametrize("text", ["1", "5", "-0.1", "-1%", "inf", "inf%", "nan", "nan%", "x", "%"])
def test_what_is_no_share(text):
    with pytest.raises(UsageError, match="is no share") as caught:
        parse_conditions([f"speed:{text}"], CHANGES)
    assert caught.value.hint == HINT


@pytest.mark.parametrize("text", ["nan", "fast", "True", "1%"])
def test_what_is_no_number(text):
    with pytest.raises(UsageError, match="is no number, true or false") as caught:
        parse_conditions([f"speed<{text}"], VALUES)
    assert caught.value.hint == HINT


def test_commas_part_gates_but_not_labels():
    label = "v2drop 3:0.5,17:0.3"
    assert read(f"speed<1,{label}:size>2 , speed>3") == [
        (None, "speed", "<", 1.0), (label, "size", ">", 2.0), (None, "speed", ">", 3.0),
    ]  # fmt: skip
    assert read(f"{label}:speed:5%,size:1%", CHANGES) == [
        (label, "speed", ":", 0.05), (None, "size", ":", 0.01),
    ]  # fmt: skip


def test_all_gates_of_all_options_are_read_in_order_and_kept_as_typed():
    found = parse_conditions(["speed<1, size>2", "speed>3"], VALUES)
    assert [gate.text for gate in found] == ["speed<1", "size>2", "speed>3"]
    assert parse_conditions([], VALUES) == ()
    with pytest.raises(FrozenInstanceError):
        found[0].limit = 9
    with pytest.raises(FrozenInstanceError):
        VALUES.hint = ""
    assert {Condition("", None, "speed", "<", 1.0)} == {Condition("", None, "speed", "<", 1.0)}


@pytest.mark.parametrize("text", ["", " ", "speed<1,", ",speed<1", "speed<1,,size<2"])
@pytest.mark.parametrize("form", [VALUES, CHANGES])
def test_an_empty_gate_is_refused(text, form):
    with pytest.raises(UsageError) as caught:
        parse_conditions([text], form)
    assert caught.value.hint == HINT


def test_a_gate_of_the_other_command_is_told_from_nonsense():
    for text, form in (("speed:5%", VALUES), ("speed<1", CHANGES)):
        with pytest.raises(UsageError, match="for the other command") as caught:
            parse_conditions([text], form)
        assert caught.value.hint == HINT
    for text, form in (("speed", VALUES), ("speed", CHANGES), ("speed=1", VALUES)):
        with pytest.raises(UsageError, match="cannot read the gate") as caught:
            parse_conditions([text], form)
        assert "other command" not in caught.value.message


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        parse_conditions(["sped<1"], VALUES)
    assert "speed" in caught.value.hint


# Labels that hold a method's parameters ---------------------------------------------------------

LABELS = [
    "fastv:layer=2",
    "dart:image_pivots=4,text_pivots=4",
    "dart:image_pivots=4,text_pivots=4 2:0.5,17:0",
    "v2drop 3:0.5,17:0.3",
]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("changes", "gate"), [(False, "prefill>1.2"), (True, "prefill:5%")])
def test_a_label_with_parameters_is_one_label(label, changes, gate):
    form = Form(("prefill", "decode"), "hint", changes)
    other = gate.replace("prefill", "decode")
    found = parse_conditions([f"{label}:{gate},{other}, {label}:{other}"], form)
    assert [(item.arm, item.metric) for item in found] == [
        (label, "prefill"),
        (None, "decode"),
        (label, "decode"),
    ]
