"""Gates about arms whose labels hold a method's parameters."""

from __future__ import annotations

import pytest

from v2drop_cli.judge.gate_grammar import Form, parse_conditions

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
