from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import CaveatKind, MediaRecord, Memory, Stats, Timing
from v2drop_cli.report import wording
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.text import GLUE, TIMES, clean, encodable, encodable_json


def text(value: str) -> str:
    return value.replace(GLUE, " ")


def table(report) -> dict[str, list[str]]:
    view = build_view(judged(report))
    return {
        f"{section.title}/{row.label}".replace(GLUE, " "): [text(cell.text) for cell in row.cells]
        for section in view.sections
        for row in section.rows
    }


def footer(report) -> dict[str, str]:
    return {fact.label: text(fact.text) for fact in build_view(report).footer}


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0 %"), (0.336, "33.6 %"), (0.9999, "99.9 %"), (1.0, "100 %"), (1.25, "125 %")],
)
def test_percent_is_never_rounded_up_to_all(share, expected):
    assert wording.percent(share) == expected


def test_the_arms_stand_side_by_side():
    rows = table(factory.report())
    assert rows["Vision tokens/after each drop"] == ["576", "576 → 288 → 86 → 0"]
    assert rows["Vision tokens/layer average"] == ["576", "193.4 (33.6 %)"]
    assert rows["Time (median)/prefill"] == ["214 ms  ±3 %", "98.4 ms ±3 %"]
    assert rows["Speed-up over dense/decode"] == ["reference", "1.00x [0.97, 1.05] within noise"]
    assert rows["Memory/peak (GPU allocator)"] == ["14.0 GiB", "13.5 GiB (96.4 %)"]
    assert rows["Memory/KV cache"] == ["315 MiB", "124 MiB (39.2 %)"]


def test_every_count_is_there_once():
    """The layers of the drops stand in the schedule; where they do not, in a row of their own."""
    rows = table(factory.report())
    assert not [key for key in rows if "layers" in key or "stage" in key]
    arm = factory.dropped(drops=factory.drops(576, 288, 86, layers=(3, 17)))
    rows = table(factory.report(arms=(factory.dense(), arm)))
    assert rows["Vision tokens/drops at layers"] == ["-", "3, 17"]


def test_a_schedule_that_every_label_says_has_no_row_of_its_own():
    labelled = factory.dropped(label=f"v2drop {factory.SCHEDULE}")
    other = factory.dropped(label="v2drop half")
    for arms, there in (((labelled,), False), ((labelled, other), True)):
        rows = table(factory.report(arms=(factory.dense(), *arms), comparisons=()))
        assert ("/schedule" in rows) == there


def test_the_device_is_named_once():
    for report in (factory.report(), factory.dummy_report()):
        view = build_view(judged(report))
        texts = [fact.text for fact in (*view.facts, *view.footer)]
        assert sum(report.request.device in words(one) for one in texts) == 1


def words(said: str) -> list[str]:
    return text(said).replace(",", "").split()


def test_one_arm_is_compared_with_nothing():
    rows = table(factory.dense_only())
    assert not any("against" in key for key in rows)
    view = build_view(factory.dense_only())
    assert (view.glance, view.finding) == (None, None)
    assert "within noise" not in footer(factory.dense_only())["reading"]
    assert "interleaved" not in footer(factory.dense_only())["measured"]


def test_missing_values_are_not_zero():
    rows = table(factory.missing_values())
    for key, cells in rows.items():
        if key.startswith(("Time", "Memory")):
            assert cells == ["n/a", "n/a"], key
    assert footer(factory.missing_values())["measured"] == "nothing was timed"


def test_an_arm_without_a_comparison_is_not_called_the_same():
    report = replace(factory.report(), comparisons=())
    rows = table(report)
    assert rows["/against dense"] == ["reference", "n/a"]
    view = build_view(report)
    assert {cell.text for cell in view.glance.rows[1].cells} == {"n/a"}
    assert view.finding is None


def test_agreement_says_where_answers_part():
    found = factory.comparison(answers_identical=False, token_agreement=0.75, first_divergence=3)
    assert text(wording.agreement(found)) == "differs from token 3 on, 75 % agree"
    unknown = replace(found, first_divergence=None)
    assert text(wording.agreement(unknown)) == "differs, 75 % agree"


def test_peaks_of_different_kinds_are_told_apart():
    report = factory.report(arms=(factory.dense(), factory.on_cpu(factory.dropped())))
    cells = table(report)["Memory/peak"]
    assert cells == ["14.0 GiB (GPU allocator)", "870 MiB (process RSS) (96.4 %)"]


def test_energy_is_shown_only_where_some_was_measured():
    assert "Memory/energy" not in table(factory.report())
    report = factory.report(arms=(factory.dense(energy_j=12.345), factory.dropped()))
    assert table(report)["Memory/energy"] == ["12.3 J", "n/a"]


def waiting(seconds: float | None) -> Timing:
    """A GPU that was done so long after the last launch, at 10 ms a token."""
    wait = None if seconds is None else Stats(seconds, (seconds,))
    return replace(factory.timing(), decode_s_per_token=Stats(0.01, (0.01,)), host_wait_s=wait)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, True), (0.0024, True), (0.0025, False), (9.0, False), (None, None)]
)
def test_a_gpu_that_is_done_when_the_launching_is_was_waiting_for_it(seconds, bound):
    assert waiting(seconds).launch_bound is bound
    assert replace(waiting(seconds), decode_s_per_token=None).launch_bound is None


def test_launch_bound_is_said_of_eager_decoding_on_a_gpu_only():
    arms = (factory.dense(timing=waiting(0.001)), factory.dropped(timing=waiting(0.02)))
    report = factory.report(arms=arms)
    assert table(report)["Time (median)/decode per token"] == ["10.0 ms launch-bound", "10.0 ms"]
    assert footer(report)["decode"].startswith("launch-bound: the GPU waited for Python")
    compiled = replace(report, request=factory.request(decode="compiled"))
    on_cpu = replace(report, arms=(factory.dense(timing=waiting(None)),), comparisons=())
    for other in (compiled, on_cpu):
        assert "launch-bound" not in str(build_view(other))
        assert "decode" not in footer(other)


def test_compiled_decoding_is_named_and_its_recording_is_a_row_of_its_own():
    arms = (factory.dense(capture_s=1.25), factory.dropped())
    report = factory.report(request=factory.request(decode="compiled"), arms=arms)
    assert table(report)["Time (median)/graph capture, once"] == ["1.25 s", "n/a"]
    facts = {fact.label: text(fact.text) for fact in build_view(report).facts}
    assert facts["model"].endswith("sdpa attention, compiled decode")
    assert "capture" not in str(build_view(factory.report()))


def test_methods_are_named_where_labels_do_not():
    report = factory.report(arms=(factory.dense(), factory.dropped(label="half")))
    assert "/method" not in table(factory.report())
    report = replace(report, arms=(report.arms[0], replace(report.arms[1], method="v2drop")))
    assert table(report)["/method"] == ["-", "v2drop"]


def test_the_samples_that_are_there_are_counted():
    few = Stats(0.2, (0.2, 0.2, 0.2))
    arm = factory.dropped(timing=Timing(prefill_s=few))
    assert (
        "median of 3 to 5 rounds (5 asked for)"
        in footer(factory.report(arms=(factory.dense(), arm)))["measured"]
    )
    alone = factory.report(
        arms=(factory.dense(timing=Timing(prefill_s=Stats(0.2, (0.2,)))),),
        request=factory.request(repeats=1, warmup=2, timed_new_tokens=1),
    )
    assert footer(alone)["measured"] == (
        "median of 1 round after 2 warm-ups; 1 new token per timed generation"
    )
    assert table(alone)["Time (median)/prefill"] == ["200 ms"]


def test_a_cpu_says_so():
    report = factory.dummy_report()
    caveat = CaveatKind.DEVICE_CPU.caveat()
    report = replace(report, warnings=(*report.warnings, caveat))
    facts = [text(fact.text) for fact in build_view(report).footer]
    assert facts[0].endswith("; wall clock of the CPU, so GPU figures are n/a")
    assert sum("CPU" in fact for fact in facts) == 1
    assert "CPU" not in footer(factory.report())["measured"]


def test_the_dummy_label_is_not_said_twice_in_a_row():
    report = factory.dummy_report()
    found = replace(CaveatKind.DUMMY_WEIGHTS.caveat(), message="is dummy")
    report = replace(report, warnings=(*report.warnings, found))
    facts = [fact.text for fact in build_view(report).footer]
    assert facts.count(wording.DUMMY_LABEL) == 1
    assert "is dummy" not in facts


def test_answers_of_dummy_weights_agree_with_nothing():
    view = build_view(judged(factory.dummy_report()))
    assert "against dense" not in [row.label for row in view.sections[0].rows]
    assert [row.cells[-1].text for row in view.glance.rows] == ["reference", "n/a"]


@pytest.mark.parametrize(
    ("resolved", "weights", "said"),
    [("tiny", "trained", True), ("tiny", "dummy", False), ("a/tiny", "trained", False)],
)
def test_the_embedded_model_says_what_it_knows(resolved, weights, said):
    request = factory.request(model="tiny", resolved_id=resolved, weights=weights)
    [model] = [
        f.text for f in build_view(factory.report(request=request)).facts if f.label == "model"
    ]
    assert (wording.TINY_KNOWS in text(model)) == said


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (factory.IMAGE, "street scene.jpg, image 640{x}480"),
        (factory.VIDEO, "kitchen.mp4, video 336{x}336, 8 frames from 0 s to 7.00 s"),
        (
            MediaRecord("a.mp4", "video", 8, 6, 1, (0.5,)),
            "a.mp4, video 8{x}6, 1 frame at 500 ms",
        ),
        (MediaRecord("a.mp4", "video", 8, 6, 2, None), "a.mp4, video 8{x}6, 2 frames"),
        (MediaRecord(None, "image", 8, 6, 1, synthetic=True), "synthetic, image 8{x}6"),
        (MediaRecord(None, "video", 8, 6, 3, synthetic=True), "synthetic, video 8{x}6, 3 frames"),
    ],
)
def test_media_are_named_with_size_and_times(record, expected):
    assert text(wording.media(record)) == expected.format(x=TIMES)


@pytest.mark.parametrize(
    ("ratio", "word"), [(2.0, " (50 %)"), (0.5, " (200 %)"), (1.0, ""), (1.0004, ""), (None, "")]
)
def test_memory_is_told_as_a_share_of_the_reference(ratio, word):
    arm = factory.dropped(memory=Memory(kv_cache_bytes=1024))
    assert text(wording.cache(arm, factory.comparison(kv_cache_ratio=ratio))) == f"1.00 KiB{word}"


def test_cleaned_text_can_do_nothing():
    everything = "".join(map(chr, range(0x11000))) + "\U000e0041"
    kept = set(clean(everything, lines=True))
    "".join(kept).encode("utf-8")
    controls = [*range(10), *range(11, 32), *range(127, 161), 0x2028, 0x202E, 0x2066, 0xE0041]
    assert not kept & set(map(chr, controls))
    assert {"\u200c", "\u200d", "\n", "é", "你"} <= kept
    assert clean("a\tb\u00a0c\u3000d") == "a b c d"


def test_encodable_leaves_glue_to_the_layout():
    assert encodable(f"4{GLUE}µs ± é 你", "ascii") == f"4{GLUE}us +/- \\xe9 \\u4f60"
    assert encodable("é", "latin-1") == "é"
    assert encodable("é", "no-such-codec") == "\\xe9"


def test_json_stays_the_same_document_in_any_encoding():
    document = {"text": 'é 🙂 \x1b "quoted" \ud800'}
    raw = json.dumps(document, ensure_ascii=False)
    for encoding in ("ascii", "latin-1", "utf-8"):
        assert (
            json.loads(encodable_json(raw, encoding).encode(encoding).decode(encoding)) == document
        )


def test_views_and_files_need_neither_rich_nor_torch():
    code = (
        "import sys, v2drop_cli.report.view, v2drop_cli.report.result_file\n"
        "print([m for m in ('rich', 'torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
