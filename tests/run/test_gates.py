from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.errors import UsageError
from v2drop_cli.records import Ratio
from v2drop_cli.run.gates import failures, parse_gates


def failed(*texts, report=None, methods=("v2drop",)):
    return failures(parse_gates(texts), report or factory.profiled(), methods)


@pytest.mark.parametrize(
    "text",
    [
        "prefill_speedup<1.2",  # measured: 2.174 [2.09, 2.26]
        "prefill_speedup < 2.2",  # reaches over the limit: noise, so no failure
        "prefill_speedup>2.2",
        "answers_identical<1",
        "answers_identical == false",
        "vision_tokens!=576",
        "layer_average_vision_tokens>193.5",
        "last_vision_tokens>=1",
        "dense:vision_tokens!=576",
        "random:token_agreement<0.5",
        "peak_bytes>15e9",
        "realised_over_ideal<0.95",  # 0.944 [0.908, 0.981]: as noisy as the speed-up
    ],
)
def test_gates_that_hold(text):
    assert failed(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prefill_speedup<2.3", "v2drop has 2.174, 95 % interval 2.090 to 2.260"),
        ("prefill_speedup>=2", "v2drop has 2.174"),
        ("vision_tokens==576", "v2drop has 576"),
        ("kv_cache_ratio<3", "v2drop has 2.55"),
        ("realised_over_ideal<0.99", "v2drop has 0.944, 95 % interval 0.908 to 0.981"),
        ("random:answers_identical==false", "random has 0"),
        ("none:prefill_speedup<1", "there is no arm 'none'"),
    ],
)
def test_gates_that_fail_say_what_was_measured(text, said):
    [line] = failed(text)
    assert line.startswith(f"{text}: ")
    assert said in line


def test_an_added_random_arm_is_gated_only_by_name():
    assert failed("token_agreement<0.9") == []
    assert len(failed("token_agreement<0.9", methods=("v2drop", "random"))) == 1


def test_a_gate_on_what_was_not_measured_fails():
    nothing = factory.missing_values()
    assert "prefill_speedup was not measured" in failed("prefill_speedup<1", report=nothing)[0]
    assert "kv_cache_bytes was not measured" in failed("kv_cache_bytes>9", report=nothing)[0]
    once = factory.comparison(prefill_speedup=Ratio(2.0, None))
    report = replace(factory.profiled(), comparisons=(once,))
    assert "5 rounds or more" in failed("prefill_speedup<1", report=report)[0]


def test_a_label_may_hold_colons_and_spaces():
    label = factory.four_arms().arms[3].label
    assert ":" in label
    [line] = failed(f"{label}:prefill_speedup<0.95", report=factory.four_arms())
    assert "0.910" in line


def test_several_gates_go_with_commas():
    label = factory.four_arms().arms[3].label
    gates = parse_gates(
        [f"kv_cache_ratio<3,{label}:prefill_speedup<0.95", "dense:vision_tokens!=1"]
    )
    assert [(gate.arm, gate.metric) for gate in gates] == [
        (None, "kv_cache_ratio"), (label, "prefill_speedup"), ("dense", "vision_tokens"),
    ]  # fmt: skip
    assert len(failed("kv_cache_ratio<3,prefill_speedup<2.3,vision_tokens!=576")) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot read"),
        ("dense:prefill_speedup<1", "compares dense with itself"),
        ("prefill:5%", "for the other command"),
        ("prefill_speedup<1,", "cannot read"),
        ("prefill_speedup", "cannot read"),
        ("prefill_speedup=1", "cannot read"),
        ("prefil_speedup<1", "unknown metric"),
        ("prefill_speedup<fast", "no number"),
        ("answers_identical==maybe", "no number, true or false"),
        ("prefill_speedup<nan", "no number"),
    ],
)
def test_gates_that_mean_nothing_are_refused_at_once(text, said):
    with pytest.raises(UsageError, match=said):
        parse_gates([text])
