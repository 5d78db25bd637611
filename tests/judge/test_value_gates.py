from __future__ import annotations

from dataclasses import replace

import pytest

from tests.commands.test_compare import made
from tests.report import factory
from v2drop_cli.errors import UsageError
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.judge.value_gates import judged_gates, parse_gates
from v2drop_cli.records import Ratio
from v2drop_cli.records.changes import FAILED, HELD, UNDECIDED, UNMEASURED


def results(*texts, report=None, methods=("v2drop",)):
    return judged_gates(parse_gates(texts), report or factory.profiled(), methods)


def failed(*texts, **options):
    """What the gates that fail say; none of the others may be undecided."""
    found = results(*texts, **options)
    assert all(gate.outcome in (HELD, FAILED) for gate in found), found
    assert all(gate.failed == (gate.message is not None) for gate in found)
    return [f"{gate.text}: {gate.message}" for gate in found if gate.failed]


def undecided(text, **options):
    [gate] = results(text, **options)
    assert (gate.outcome, gate.failed) == (UNDECIDED, False)
    return gate.message


@pytest.mark.parametrize(
    "text",
    [
        "prefill_speedup<1.2",  # measured: 2.174 [2.09, 2.26]
        "prefill_speedup>2.3",
        "answers_identical<1",
        "answers_identical == false",
        "vision_tokens!=576",
        "layer_average_vision_tokens>193.5",
        "last_vision_tokens>=1",
        "dense:vision_tokens!=576",
        "random:token_agreement<0.5",
        "peak_bytes>15e9",
        "realised_over_ideal<0.9",  # 0.944 [0.908, 0.981]: as noisy as the speed-up
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
    ],
)
def test_gates_that_fail_say_what_was_measured(text, said):
    [line] = failed(text)
    assert line.startswith(f"{text}: ")
    assert said in line


def test_an_added_random_arm_is_gated_only_by_name():
    assert failed("token_agreement<0.9") == []
    assert len(failed("token_agreement<0.9", methods=("v2drop", "random"))) == 1


def unmeasured(text, **options):
    """What a gate says that nothing was measured for: a build must not pass for it."""
    [gate] = results(text, **options)
    assert (gate.outcome, gate.failed) == (UNMEASURED, True)
    return gate.message


def test_a_gate_on_what_was_not_measured_never_passes():
    nothing = factory.missing_values()
    assert "prefill_speedup was not measured" in unmeasured("prefill_speedup<1", report=nothing)
    assert "kv_cache_bytes was not measured" in unmeasured("kv_cache_bytes>9", report=nothing)
    assert "there is no arm 'none'" in unmeasured("none:prefill_speedup<1")


def test_a_gate_names_an_arm_by_method_or_by_method_and_schedule():
    report = factory.profiled()
    dense, ours, random = report.arms
    label = f"random {random.schedule}"
    report = replace(report, arms=(dense, ours, replace(random, label=label)))
    for name in ("random", label):
        [line] = failed(f"{name}:vision_tokens==576", report=report)
        assert f"{label} has 576" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prefill_speedup < 2.2", "v2drop has 2.174, 95 % interval 2.090 to 2.260"),
        ("prefill_speedup>2.2", "v2drop has 2.174"),
        ("prefill_speedup<2.26", "v2drop has 2.174"),  # one end meets it, the other does not
        ("realised_over_ideal<0.95", "v2drop has 0.944, 95 % interval 0.908 to 0.981"),
    ],
)
def test_a_limit_inside_the_interval_is_undecided(text, said):
    assert undecided(text).startswith(said)


def test_too_few_rounds_for_an_interval_decide_nothing():
    once = factory.comparison(prefill_speedup=Ratio(2.0, None))
    report = replace(factory.profiled(), comparisons=(once,))
    assert "5 rounds or more" in undecided("prefill_speedup<1", report=report)


def noisy(low, high, null, **changes):
    """A report whose v2drop arm has that speed-up; dense against dense is off by `null`."""
    base = made(null=null)
    found = factory.comparison(prefill_speedup=Ratio((low + high) / 2, (low, high)), **changes)
    return replace(base, comparisons=(found,))


@pytest.mark.parametrize(
    ("interval", "null", "limit", "outcome"),
    [
        ((1.25, 1.30), 1.46, 1.2, UNDECIDED),  # dense against itself reaches 1.46 as well
        ((1.25, 1.30), 1.00, 1.2, HELD),
        ((1.10, 1.15), 1.46, 1.2, UNDECIDED),  # nor would it be a failure
        ((1.10, 1.15), 1.00, 1.2, FAILED),
        ((1.50, 1.60), 1.46, 1.2, HELD),  # beyond the floor
        ((0.50, 0.60), 1.46, 1.2, FAILED),
        ((1.25, 1.30), 1.46, 1.5, FAILED),  # the limit lies beyond the floor
        ((1.25, 1.30), 0.68, 1.2, UNDECIDED),  # a null below 1 is as much noise as one above
    ],
)
def test_a_limit_inside_the_noise_floor_is_decided_only_beyond_it(interval, null, limit, outcome):
    [gate] = results(f"prefill_speedup<{limit}", report=noisy(*interval, null))
    assert gate.outcome == outcome
    if outcome == UNDECIDED:
        assert "noise floor 0.68" in gate.message


def test_the_noise_of_realised_over_ideal_is_that_of_its_speedup():
    report = noisy(1.25, 1.30, 1.46, ideal_prefill_speedup=2.0)
    assert "noise floor 0.342 to 0.730" in undecided("realised_over_ideal<0.6", report=report)
    quiet = noisy(1.25, 1.30, 1.0, ideal_prefill_speedup=2.0)
    assert failed("realised_over_ideal<0.6", report=quiet) == []


def test_the_noise_of_a_peak_is_one_other_reading():
    def peak(ratio, null):
        return replace(
            factory.profiled(),
            comparisons=(factory.comparison(peak_memory_ratio=ratio),),
            null_comparison=factory.comparison(peak_memory_ratio=null),
        )

    assert failed("peak_memory_ratio<1.02", report=peak(1.04, 1.0)) == []
    assert "v2drop has 1.04" in undecided("peak_memory_ratio<1.02", report=peak(1.04, 1.1))
    assert len(failed("peak_memory_ratio<1.02", report=peak(1.01, 1.0))) == 1


def test_the_worst_arm_decides_and_a_failure_outweighs_doubt():
    label = factory.four_arms().arms[3].label
    assert results(f"{label}:prefill_speedup<0.95", report=factory.four_arms())[0].failed
    doubtful = factory.comparison("random", prefill_speedup=Ratio(2.2, (2.0, 2.4)))
    sure = factory.comparison(prefill_speedup=Ratio(2.0, (1.9, 2.05)))
    report = replace(factory.profiled(), comparisons=(doubtful, sure))
    both = ("v2drop", "random")
    [line] = [g.message for g in results("prefill_speedup<2.1", report=report, methods=both)]
    assert line.startswith("v2drop has 2.000")
    assert undecided("prefill_speedup<2.01", report=report, methods=both).count("has") == 2


def test_a_method_asked_for_with_parameters_is_gated_by_its_name():
    asked_for = ("v2drop:some=1",)
    assert failed("vision_tokens==576", methods=asked_for) == failed("vision_tokens==576")
    assert len(failed("vision_tokens==576", methods=asked_for)) == 1


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
        ("prefill_speedup!=1.2", "measured value is exactly"),
        ("decode_speedup==1", "measured value is exactly"),
        ("generate_speedup!=1", "measured value is exactly"),
        ("realised_over_ideal==1", "measured value is exactly"),
        ("peak_memory_ratio!=1", "measured value is exactly"),
        ("random:peak_bytes==5", "measured value is exactly"),
    ],
)
def test_gates_that_mean_nothing_are_refused_at_once(text, said):
    with pytest.raises(UsageError, match=said):
        parse_gates([text])


EXACT = (
    "vision_tokens", "layer_average_vision_tokens", "last_vision_tokens", "prefill_flops",
    "kv_cache_bytes", "kv_cache_ratio", "ideal_prefill_speedup", "answers_identical",
    "token_agreement",
)  # fmt: skip


def test_all_asks_for_every_method_of_the_report_and_a_composed_one_for_itself():
    found = failed("vision_tokens==576", methods=("all",))
    assert len(found) == len(failed("vision_tokens==576", methods=("v2drop", "random")))
    [composed] = results("vision_tokens==576", methods=("random+v2drop",))
    assert composed.outcome == UNMEASURED


def test_what_is_counted_may_be_asked_for_exactly():
    assert len(parse_gates([f"{name}{sign}1" for name in EXACT for sign in ("==", "!=")])) == 18
    with pytest.raises(UsageError) as caught:
        parse_gates(["prefill_speedup==1"])
    assert all(name in caught.value.hint for name in EXACT)


@pytest.mark.parametrize(
    ("speedup", "ideal"),
    [(None, None), (None, 2.0), (Ratio(2.0, (1.9, 2.1)), None), (Ratio(2.0, (1.9, 2.1)), 0.0)],
)
def test_realised_over_ideal_takes_a_speedup_and_an_ideal(speedup, ideal):
    found = factory.comparison(prefill_speedup=speedup, ideal_prefill_speedup=ideal)
    report = replace(factory.profiled(), comparisons=(found,))
    assert "was not measured" in unmeasured("realised_over_ideal<0.5", report=report)


def test_realised_over_ideal_without_an_interval_is_undecided():
    found = factory.comparison(prefill_speedup=Ratio(2.0, None), ideal_prefill_speedup=2.0)
    report = replace(factory.profiled(), comparisons=(found,))
    assert "5 rounds or more" in undecided("realised_over_ideal<0.5", report=report)


def test_a_floor_is_told_only_where_it_decides():
    [said] = failed("prefill_speedup<1.2", report=noisy(1.10, 1.15, 1.05))
    assert "95 % interval" in said
    assert "floor" not in said
    assert "floor" not in undecided("prefill_speedup<1.12", report=noisy(1.10, 1.15, None))


def test_the_ideal_scales_the_floor_of_realised_over_ideal_alone():
    report = noisy(1.25, 1.30, 1.46, ideal_prefill_speedup=2.0)
    assert "noise floor 0.685 to 1.460" in undecided("prefill_speedup<1.2", report=report)


def test_realised_over_ideal_without_a_null_has_no_floor():
    report = noisy(1.25, 1.30, None, ideal_prefill_speedup=2.0)
    assert failed("realised_over_ideal<0.6", report=report) == []
    assert len(failed("realised_over_ideal<0.7", report=report)) == 1


def test_work_is_counted_where_it_is_known():
    assert failed("prefill_flops>4e12") == []
    assert "v2drop has 3.7" in failed("prefill_flops<4e12")[0]
    assert "not measured" in unmeasured("prefill_flops<4e12", report=factory.report())


@pytest.mark.parametrize(
    "gate", ["prefill_speedup<1.2", "prefill_speedup<2.5", "realised_over_ideal<0.1"]
)
def test_a_gate_on_what_the_report_does_not_claim_is_undecided(gate):
    """Dense against itself is 1.05 of itself: a build neither passes nor fails by such rounds."""
    null = replace(factory.null_comparison(), prefill_speedup=Ratio(1.05, (1.04, 1.06)))
    report = judged(replace(factory.profiled(), null_comparison=null))
    assert "dense against itself differs" in undecided(gate, report=report)
    assert failed("decode_speedup<0.5", report=report) == []
