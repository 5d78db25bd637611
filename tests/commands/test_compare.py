"""Made reports, whose verdicts can be told in advance."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.commands.compare import compare_reports, refuse
from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.judge.change_gates import NAMES, parse_change_gates
from v2drop_cli.measure.stats import ratio_of_medians
from v2drop_cli.records import Answer, Caveat, Limit, Memory, Stats, Timing

# Twenty rounds within half a percent of 1: their median's interval is far inside the margin.
STEADY = tuple(1 + 0.0005 * step for step in (*range(-10, 0), *range(1, 11)))


def steady(median: float, spread: float = 1.0) -> Stats:
    return Stats(median, tuple(median * (1 + spread * (s - 1)) for s in STEADY))


def stages(scale: float = 1.0, spread: float = 1.0) -> Timing:
    return Timing(prefill_s=steady(0.2 * scale, spread), generate_s=steady(0.5 * scale, spread))


def made(scale: float = 1.0, *, spread: float = 1.0, null: float | None = 1.0, **changes):
    """A report whose arms take `scale` of 0.2 s, and whose null differs from dense by `null`."""
    arms = (
        factory.dense(timing=stages(scale, spread)),
        factory.dropped(timing=stages(scale * 0.5, spread)),
    )
    protocol = None if null is None else factory.protocol(null_timing=stages(scale * null, spread))
    return factory.report(arms=arms, protocol=protocol, null_comparison=None, **changes)


def compared(a, b, *gates, margin=0.02):
    return compare_reports(("a.json", a), ("b.json", b), margin, parse_change_gates(gates))


def change(found, metric="prefill", label="v2drop"):
    [arm] = [arm for arm in found.arms if arm.label == label]
    [said] = [item for item in arm.changes if item.metric == metric]
    return said


def failed(a, b, *gates, **options):
    return [gate.message for gate in compared(a, b, *gates, **options).gates if gate.failed]


# Verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "spread", "null", "verdict"),
    [
        (1.0, 1, 1.0, "same"),
        (1.01, 1, 1.0, "same"),
        (1.1, 1, 1.0, "slower"),
        (0.9, 1, 1.0, "faster"),
        (1.0, 20, 1.0, "unclear"),  # the interval is wider than the margin
        (1.1, 60, 1.0, "unclear"),  # and here it reaches 1
        (1.02, 1, 1.0, "unclear"),  # on the margin's edge
        (1.1, 1, 1.2, "unclear"),  # dense against itself differs by more
        (1.3, 1, 1.2, "slower"),
        (1.1, 1, None, "slower"),  # no null: the margin alone decides
    ],
)
def test_the_whole_interval_decides(scale, spread, null, verdict):
    found = compared(made(spread=spread, null=null), made(scale, spread=spread, null=null))
    said = change(found)
    assert said.verdict == verdict
    assert said.ratio == pytest.approx(scale)
    assert (said.a, said.b) == (pytest.approx(0.1), pytest.approx(0.1 * scale))
    low, high = said.ci95
    assert low <= said.ratio <= high
    assert (said.noise is None) == (null is None)
    if null == 1.2:
        assert said.noise == (pytest.approx(1 / 1.2), pytest.approx(1.2))


MIRRORED = {"faster": "slower", "slower": "faster", "same": "same", "unclear": "unclear"}


@pytest.mark.parametrize("scale", [0.8, 0.95, 0.99, 1.0, 1.015, 1.02, 1.3])
@pytest.mark.parametrize("spread", [1, 20, 60])
def test_swapping_the_reports_mirrors_the_verdict(scale, spread):
    a, b = made(spread=spread), made(scale, spread=spread)
    there, back = change(compared(a, b)), change(compared(b, a))
    assert back.verdict == MIRRORED[there.verdict]
    assert back.ratio == pytest.approx(1 / there.ratio)


def test_the_margin_is_the_readers():
    a, b = made(), made(1.04)
    assert change(compared(a, b)).verdict == "slower"
    assert change(compared(a, b, margin=0.1)).verdict == "same"


def test_the_wider_null_of_the_two_is_the_noise_floor():
    found = change(compared(made(null=1.0), made(1.1, null=0.8)))
    assert found.noise == (pytest.approx(0.8), pytest.approx(1.25))
    assert found.verdict == "unclear"


def test_a_null_of_another_length_than_dense_is_no_null():
    """Only a tampered report has one; its samples pair with nothing."""
    short = replace(made().protocol, null_timing=Timing(prefill_s=Stats(1.0, (1.0, 1.0))))
    odd = replace(made(), protocol=short)
    assert change(compared(odd, odd)).noise is None


def test_two_rounds_have_no_interval_and_claim_nothing():
    brief = Timing(prefill_s=Stats(0.1, (0.1, 0.1)))
    report = factory.report(arms=(factory.dense(timing=brief),))
    slow = Timing(prefill_s=Stats(0.9, (0.9, 0.9)))
    other = factory.report(arms=(factory.dense(timing=slow),))
    said = change(compared(report, other), label="dense")
    assert (said.verdict, said.ci95, said.ratio) == ("unclear", None, pytest.approx(9.0))
    [gate] = compared(report, other, "prefill:5%").gates
    assert (gate.outcome, gate.failed) == ("undecided", False)
    assert "5 rounds or more" in gate.message


def test_what_was_not_measured_has_no_verdict():
    empty = made()
    nothing = [replace(arm, timing=Timing(), memory=Memory()) for arm in empty.arms]
    found = compared(empty, replace(empty, arms=tuple(nothing)))
    said = change(found)
    assert (said.a, said.b, said.ratio, said.verdict) == (pytest.approx(0.1), None, None, None)
    metrics = [item.metric for item in found.arms[0].changes]
    assert "vision" not in metrics  # neither measured it
    [gate] = compared(empty, replace(empty, arms=tuple(nothing)), "decode:1%").gates
    assert (gate.outcome, gate.failed) == ("unmeasured", True)
    assert "not measured in both" in gate.message


def sized(peak: int | None, cache: int, **memory) -> object:
    arm = factory.dropped(memory=Memory(1, cache, peak, None, None, **memory))
    return made(null=None) if peak is None else replace(made(), arms=(arm,))


@pytest.mark.parametrize(
    ("peak", "verdict"), [(1000, "same"), (1019, "same"), (1100, "more"), (900, "less")]
)
def test_peaks_have_a_margin_and_counts_have_none(peak, verdict):
    assert change(compared(sized(1000, 9), sized(peak, 9)), "peak_memory").verdict == verdict
    found = compared(sized(1000, 1000), sized(1000, peak))
    exact = {1000: "same", 900: "less"}.get(peak, "more")
    assert change(found, "kv_cache").verdict == exact
    assert change(found, "kv_cache").ci95 is None


def test_a_peak_within_the_nulls_difference_is_unclear():
    null = factory.comparison("dense", peak_memory_ratio=0.85)
    a, b = (replace(sized(peak, 9), null_comparison=null) for peak in (1000, 1100))
    assert change(compared(a, b), "peak_memory").verdict == "unclear"
    assert compared(a, b, "peak_memory:2%").gates[0].outcome == "undecided"


def test_peaks_of_different_kinds_are_not_compared():
    b = replace(made(), arms=(factory.on_cpu(made().arms[0]),))
    said = change(compared(made(), b), "peak_memory", "dense")
    assert (said.ratio, said.verdict) == (None, None)


def test_answers():
    a = made()
    other = replace(a.arms[1], answer=Answer("no", (5, 6, 9, 8)))
    [dense, dropped] = compared(a, replace(a, arms=(a.arms[0], other))).arms
    assert (dense.answers, dense.token_agreement, dense.first_divergence) == ("same", 1.0, None)
    assert (dropped.answers, dropped.token_agreement) == ("differs", 0.75)
    assert dropped.first_divergence == 2


def test_prefill_work_and_tokens_are_exact():
    full = Limit(1000, 1, 1, 1, None)
    a = replace(made(), arms=(replace(factory.dense(), limit=full),))
    b = replace(made(), arms=(replace(factory.dense(), limit=replace(full, prefill_flops=1001)),))
    assert change(compared(a, b), "prefill_flops", "dense").verdict == "more"
    assert change(compared(a, b), "vision_tokens", "dense").verdict == "same"
    assert len(failed(a, b, "prefill_flops:0%")) == 1
    assert failed(a, b, "prefill_flops:1%", "vision_tokens:0%") == []


# The interval --------------------------------------------------------------------------------


def test_the_ratio_of_medians_is_unpaired_and_reproducible():
    a, b = [1.0, 1.1, 0.9, 1.05, 0.95], [2.0, 2.2, 1.8, 1.9, 2.1]
    found = ratio_of_medians(a, b)
    assert found.median == 2.0
    assert found == ratio_of_medians(a, b)
    assert found.ci95[0] < 2 < found.ci95[1]
    shuffled = ratio_of_medians(a[::-1], b[::-1])
    assert shuffled.median == found.median


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (None, [1.0], None),
        ([], [1.0], None),
        ([0.0, 0.0, 0.0], [1.0] * 3, None),
        ([1.0] * 3, [0.0] * 3, None),
        ([5e-324] * 3, [1e308] * 3, None),
        ([1.0] * 5, [2.0] * 5, (2.0, (2.0, 2.0))),
        ([1.0] * 5, [2.0] * 4, (2.0, None)),
        # Resamples with a zero median have no ratio: no interval, rather than a wrong one.
        ([0.0, 0.0, 1.0, 2.0, 3.0], [1.0] * 5, (1.0, None)),
    ],
)
def test_degenerate_samples(a, b, expected):
    found = ratio_of_medians(a, b)
    assert (found and (found.median, found.ci95)) == expected


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says():
    """200 pairs of unpaired samples with a true ratio of 1.1."""
    import numpy as np

    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        a, b = draw.lognormal(0, 0.05, 15), draw.lognormal(math.log(1.1), 0.05, 20)
        low, high = ratio_of_medians(list(a), list(b)).ci95
        hits += low <= 1.1 <= high
    assert hits >= 180


# Gates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "spread", "gate", "outcome"),
    [
        (1.10, 1, "prefill:5%", "failed"),
        (1.10, 1, "prefill:0.05", "failed"),
        (1.10, 1, "prefill:10%", "undecided"),  # the threshold lies inside the interval
        (1.10, 20, "prefill:5%", "undecided"),
        (1.10, 1, "prefill:20%", "held"),
        (1.10, 1, "v2drop:prefill:5%", "failed"),
        (1.10, 1, "generate:99%", "held"),
        (1.01, 1, "prefill:0.5%", "failed"),  # the gate's share counts, not the margin
        (0.50, 1, "prefill:0%", "held"),
        (1.00, 1, "prefill:5%", "held"),
        (1.00, 1, "prefill:0%", "undecided"),
        (1.00, 1, "answers:0%", "held"),
        (1.00, 1, "kv_cache:0%", "held"),
        (1.00, 1, "layer_average_vision_tokens:0%", "held"),
    ],
)
def test_gates_fail_and_hold_only_for_certain(scale, spread, gate, outcome):
    a, b = made(spread=spread), made(scale, spread=spread)
    [found] = compared(a, b, gate).gates
    assert (found.outcome, found.failed) == (outcome, outcome == "failed")
    assert (found.message is None) == (outcome == "held")


def test_a_failed_gate_says_what_was_measured():
    [line] = failed(made(), made(1.1), "v2drop:prefill:5%")
    assert line.startswith("v2drop: prefill is 1.100 times that of A, 95 % interval 1.")
    [line] = failed(made(), made(1.1), "prefill:5%")
    assert line.count("prefill is 1.100") == 2  # dense and v2drop


def test_a_gate_names_an_arm_by_as_much_as_tells_it_apart():
    """An older report called an arm by its method, where it had one schedule only."""
    old, new = made(), made(1.1)
    label = f"v2drop {old.arms[1].schedule}"
    new = replace(new, arms=(new.arms[0], replace(new.arms[1], label=label)))
    for name in ("v2drop", label):
        [line] = failed(old, new, f"{name}:prefill:5%")
        assert line.startswith(f"{label}: prefill is 1.100 times that of A")
    other = replace(new.arms[1], label="v2drop 1:0.5", schedule="1:0.5")
    two = replace(new, arms=(*new.arms, other))
    with pytest.raises(UsageError, match=r"'v2drop' could be any of v2drop .*, v2drop 1:0.5"):
        compared(old, two, "v2drop:prefill:5%")
    with pytest.raises(UnknownNameError, match="unknown arm 'none'"):
        compared(old, new, "none:prefill:5%")
    assert failed(old, two, "v2drop 1:0.5:prefill:5%") == [
        "there is no arm 'v2drop 1:0.5' in both reports"
    ]


@pytest.mark.parametrize(
    ("scale", "null", "gate", "outcome"),
    [
        (1.1, 1.2, "prefill:5%", "undecided"),
        (1.0, 1.46, "prefill:5%", "undecided"),  # a slowdown of 40 % would not have failed it
        (1.3, 1.2, "prefill:5%", "failed"),
        (0.5, 1.46, "prefill:5%", "held"),  # faster than any noise
        (1.1, 1.2, "prefill:30%", "held"),
    ],
)
def test_a_gate_inside_the_noise_floor_is_decided_only_beyond_it(scale, null, gate, outcome):
    [found] = compared(made(null=null), made(scale, null=1.0), gate).gates
    assert found.outcome == outcome
    if outcome == "undecided":
        assert f"noise floor {1 / null:.3f} to {null:.3f}" in found.message


def test_answers_are_gated_by_the_share_of_tokens():
    a = made()
    other = replace(a.arms[1], answer=Answer("no", (5, 6, 9, 8)))
    b = replace(a, arms=(a.arms[0], other))
    assert failed(a, b, "answers:25%") == []
    assert failed(a, b, "answers:0%") == ["v2drop: 0.25 of the tokens differ"]


def test_from_nothing_to_something_fails_any_gate():
    nothing, some = (
        replace(
            made(), arms=(factory.dense(vision_tokens=n, layer_average_vision_tokens=float(n)),)
        )
        for n in (0, 5)
    )
    assert "from 0 to 5" in failed(nothing, some, "vision_tokens:50%")[0]
    assert failed(nothing, nothing, "vision_tokens:0%") == []
    assert failed(some, nothing, "vision_tokens:0%") == []


def test_labels_with_commas_and_colons():
    label = "v2drop 3:0.5,17:30%"
    [first, second] = parse_change_gates([f"{label}:prefill:5%,decode:1%"])
    assert (first.arm, first.metric, first.limit) == (label, "prefill", 0.05)
    assert (second.arm, second.metric, second.limit) == (None, "decode", 0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot read the gate ''"),
        ("prefill", "cannot read"),
        ("prefill:5%,", "cannot read the gate ''"),
        ("prefill:", "cannot read"),
        ("prefill:x%", "'x%' in the gate 'prefill:x%' is no share"),
        ("prefill:-5%", "is no share"),
        ("prefill:nan", "is no share"),
        ("prefill:inf", "is no share"),
        ("prefill:true", "is no share"),
        ("prefill_speedup<1.2", "for the other command"),
        ("prefil:5%", "unknown metric 'prefil'"),
    ],
)
def test_gates_that_mean_nothing(text, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")) as caught:
        parse_change_gates([text])
    assert caught.value.hint


def test_the_metrics_are_named_once():
    assert len(set(NAMES)) == len(NAMES) == 12
    with pytest.raises(UnknownNameError) as caught:
        parse_change_gates(["kvcache:1%"])
    assert "kv_cache" in caught.value.hint


# What can be compared ------------------------------------------------------------------------

GPU = {"device": "GPU X", "gpu_uuid": "GPU-1", "torch": "2.9", "driver": "580"}
CPU = {"device": "cpu", "cpu": "CPU X", "torch_threads": 2, "torch": "2.9"}


def asked(environment=GPU, **changes):
    return made(environment=environment, request=factory.request(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolved_id": "other/model"}, "model"),
        ({"revision": "0" * 40}, "revision"),
        ({"weights": "dummy"}, "weights"),
        ({"media": (factory.VIDEO,)}, "media"),
        ({"prompt": "why?"}, "prompt (What are the people doing? / why?)"),
        ({"attn_implementation": "eager"}, "attention implementation (sdpa / eager)"),
        ({"dtype": "float32"}, "dtype (bfloat16 / float32)"),
        ({"device": "cpu"}, "device (cuda / cpu)"),
        ({"batch_size": 2}, "batch size (1 / 2)"),
        ({"timed_new_tokens": 4}, "new tokens (16 / 4)"),
        ({"max_new_tokens": 4}, "most new tokens of an answer (64 / 4)"),
    ],
)
def test_other_questions_are_refused(changes, said):
    found = compared(asked(), asked(**changes))
    with pytest.raises(UsageError) as caught:
        refuse(found.differences)
    assert said in caught.value.message
    assert "--anyway" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("base", "changes", "refused"),
    [
        (GPU, {"gpu_uuid": "GPU-2"}, ["GPU UUID"]),
        (GPU, {"device": "GPU Y"}, ["GPU"]),
        (CPU, {"cpu": "CPU Y"}, ["CPU"]),
        (CPU, {"torch_threads": 1}, ["torch threads"]),
        (GPU, {"torch_threads": 1}, []),
        (GPU, {"torch": "2.10"}, []),
        (GPU, {"driver": "590"}, []),
        (GPU, {"transformers": "5.17.0"}, []),
        (GPU, {"v2drop": "0.2", "commit": "abc"}, []),
        (GPU, {"a_later_field": [1]}, []),
        (GPU, {"gpu_uuid": None}, []),  # not known is not different
    ],
)
def test_other_hardware_is_refused_and_other_software_warns(base, changes, refused):
    device = "cpu" if base is CPU else "cuda:0"
    a, b = asked(base, device=device), asked({**base, **changes}, device=device)
    found = compared(a, b).differences
    assert [item.name for item in found if item.refused] == refused
    assert len(found) == len(changes)


def test_torch_and_nvml_name_the_same_gpu_differently():
    a, b = asked(GPU, device="cuda:0"), asked({**GPU, "gpu_uuid": "1"}, device="cuda:0")
    assert compared(a, b).differences == ()


def test_one_gpu_under_two_numbers_and_one_file_in_two_folders_are_the_same():
    moved = replace(factory.IMAGE, path="elsewhere/street scene.jpg")
    assert compared(asked(), asked(device="cuda:1", media=(moved,))).differences == ()


KNOWN = replace(factory.IMAGE, sha256="a" * 64)


def of(*media):
    return asked(media=media)


def found_between(one, other):
    return [(item.name, item.refused) for item in compared(one, other).differences]


def test_another_picture_under_the_same_name_is_refused():
    other = replace(KNOWN, sha256="b" * 64)
    found = compared(of(KNOWN), of(other)).differences
    with pytest.raises(UsageError) as caught:
        refuse(found)
    assert "media" in caught.value.message
    assert "sha256 aaaaaaaaaaaa" in caught.value.message
    assert "sha256 bbbbbbbbbbbb" in caught.value.message


def test_the_same_picture_under_another_name_is_the_same():
    assert found_between(of(KNOWN), of(replace(KNOWN, path="copy (2).png"))) == []


def test_a_digest_that_only_one_report_has_warns():
    old = factory.IMAGE
    assert found_between(of(old), of(KNOWN)) == [("media digest", False)]
    assert found_between(of(KNOWN), of(old)) == [("media digest", False)]
    assert found_between(of(old), of(replace(KNOWN, path="other.png"))) == [("media", True)]
    assert found_between(of(old), of(old)) == []


def test_each_of_several_pictures_counts():
    other = replace(KNOWN, sha256="b" * 64)
    assert found_between(of(KNOWN, other), of(other, KNOWN)) == [("media", True)]
    assert found_between(of(KNOWN), of(KNOWN, KNOWN)) == [("media", True)]
    # Also where the words that name them are cut off before they differ.
    assert found_between(of(KNOWN, KNOWN), of(KNOWN, other)) == [("media", True)]


def test_the_same_video_at_other_moments_is_refused():
    video = replace(factory.VIDEO, sha256="a" * 64)
    moved = replace(video, frame_times_s=tuple(time + 0.5 for time in video.frame_times_s))
    assert found_between(of(video), of(moved)) == [("frame times", True)]
    fewer = replace(video, frames=7, frame_times_s=video.frame_times_s[:7])
    assert found_between(of(video), of(fewer)) == [("media", True)]


def test_made_up_media_have_no_digest_and_are_told_by_size():
    made_up = replace(factory.IMAGE, path=None, synthetic=True)
    assert found_between(of(made_up), of(made_up)) == []
    assert found_between(of(made_up), of(replace(made_up, width=9))) == [("media", True)]


def test_how_often_and_under_which_alias_is_no_difference():
    changed = {"repeats": 99, "warmup": 9, "model": "the-same"}
    dated = {**GPU, "date": "2030-01-01", "sm_clock_mhz": 5, "temperature_c": 80}
    assert compared(asked(), asked(dated, **changed)).differences == ()
    [seed] = compared(asked(), asked(seed=5)).differences
    assert (seed.name, seed.a, seed.b, seed.refused) == ("seed", "0", "5", False)


def test_unknown_hardware_is_told_and_not_refused():
    found = compared(asked({}), asked({})).differences
    assert [(item.name, item.a, item.b) for item in found] == [
        ("GPU", None, None), ("GPU UUID", None, None),
    ]  # fmt: skip
    refuse(found)


def test_one_label_for_two_schedules_is_told():
    b = made()
    b = replace(b, arms=(b.arms[0], replace(b.arms[1], schedule="1:0.5")))
    names = [item.name for item in compared(made(), b).differences]
    assert "schedule of v2drop" in names


def test_arms_are_matched_by_what_they_are_and_not_by_label():
    a, b = made(), made(1.1)
    other = replace(b.arms[1], label="v2drop 1:0.5", schedule="1:0.5")
    renamed = replace(b.arms[1], label="v2drop budget 33%")
    found = compared(a, replace(b, arms=(b.arms[0], other, renamed)))
    assert [arm.label for arm in found.arms] == ["dense", "v2drop budget 33%"]
    assert (found.only_in_a, found.only_in_b) == ((), ("v2drop 1:0.5",))
    moved = replace(b.arms[1], schedule="1:0.5")
    found = compared(a, replace(b, arms=(b.arms[0], moved)))
    assert [arm.label for arm in found.arms] == ["dense"]
    assert (found.only_in_a, found.only_in_b) == (("v2drop",), ("v2drop",))


def test_arms_of_one_report_only_are_named():
    a = made()
    extra = factory.dropped("random")
    found = compared(replace(a, arms=(*a.arms, extra)), replace(a, arms=a.arms[::-1]))
    assert [arm.label for arm in found.arms] == ["dense", "v2drop"]
    assert (found.only_in_a, found.only_in_b) == (("random",), ())
    with pytest.raises(UsageError, match="no arm in common"):
        compared(replace(a, arms=a.arms[:1]), replace(a, arms=a.arms[1:]))


def codes(a, b):
    return [caveat.code for caveat in compared(a, b).warnings]


def test_warnings():
    a = made()
    partial = replace(made(), protocol=factory.protocol(partial=True, stopped_by="interrupted"))
    assert codes(a, made(1.1)) == []
    assert codes(a, a) == ["same-report"]
    assert codes(a, partial) == ["partial"]
    assert codes(made(null=None), a) == ["no-null"]
    interrupted = replace(made(null=None), stopped_by="interrupted")
    assert codes(interrupted, a) == ["no-null", "partial"]
    assert compared(interrupted, a).a.partial
    shared = made(warnings=(Caveat("gpu-shared", "shared"), Caveat("dummy_weights", "x")))
    assert codes(a, shared) == ["gpu-shared"]


def test_the_document_is_its_own_schema():
    document = json.loads(compared(made(), made(1.1), "prefill:5%").dumps())
    assert document["schema"] == "v2drop.compare/1"
    assert list(document) == [
        "schema", "a", "b", "margin", "differences", "arms", "only_in_a", "only_in_b", "gates",
        "warnings", "summary",
    ]  # fmt: skip
    assert set(document["arms"][0]) == {
        "label", "answers", "token_agreement", "first_divergence", "changes",
    }  # fmt: skip
    assert set(document["arms"][0]["changes"][0]) == {
        "metric", "unit", "a", "b", "ratio", "ci95", "noise", "verdict",
    }  # fmt: skip
    assert set(document["gates"][0]) == {"text", "failed", "message", "outcome"}
    assert document["gates"][0]["failed"] is True
    assert set(document["a"]) == {
        "path", "date", "v2drop", "commit", "model", "device", "rounds", "partial",
    }  # fmt: skip
