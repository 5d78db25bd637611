from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import CaveatKind, MediaRecord, Memory, Ratio, Stats, Timing, Verdict
from v2drop_cli.records.verdicts import (
    FASTER,
    FEW_ROUNDS,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    SLOWER,
    UNCLEAR,
    WITHIN_NOISE,
)
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
    ("ratio", "verdict", "reason", "expected"),
    [
        (None, None, None, ("n/a", "muted")),
        (Ratio(2.0, None), UNCLEAR, FEW_ROUNDS, ("unclear (too few rounds)", "muted")),
        (Ratio(1.5, (1.4, 1.6)), FASTER, None, ("1.50x [1.40, 1.60]", "good")),
        (Ratio(0.8, (0.7, 0.9)), SLOWER, None, ("0.80x slower [0.70, 0.90]", "bad")),
        (Ratio(1.02, (0.97, 1.05)), WITHIN_NOISE, REACHES_ONE,
         ("within noise [0.97, 1.05]", "muted")),
        (Ratio(1.02, (1.01, 1.03)), WITHIN_NOISE, NOISE_FLOOR,
         ("within noise [1.01, 1.03]", "muted")),
        (Ratio(1.5, (1.4, 1.6)), UNCLEAR, NULL_OFF, ("unclear [1.40, 1.60]", "muted")),
        (Ratio(1.5, (1.4, 1.6)), None, None, ("unclear [1.40, 1.60]", "muted")),
    ],
)  # fmt: skip
def test_the_stored_verdict_is_worded_and_nothing_decided_anew(ratio, verdict, reason, expected):
    said = None if verdict is None else Verdict("prefill_speedup", verdict, reason)
    words, tone = wording.speedup(ratio, said)
    assert (text(words), tone) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0 %"), (0.336, "33.6 %"), (0.9999, "99.9 %"), (1.0, "100 %"), (1.25, "125 %")],
)
def test_percent_is_never_rounded_up_to_all(share, expected):
    assert wording.percent(share) == expected


def test_the_arms_stand_side_by_side():
    rows = table(factory.report())
    assert rows["Vision tokens/at each stage"] == ["576", "576 → 288 → 86 → 0"]
    assert rows["Vision tokens/after each drop"] == ["-", "layer 3: 288\nlayer 17: 86\nlayer 22: 0"]
    assert rows["Vision tokens/layer average"] == ["576", "193.4 (33.6 %)"]
    assert rows["Time (median)/prefill"] == ["214 ms  ±3 %", "98.4 ms ±3 %"]
    assert rows["Memory/peak (GPU allocator)"] == ["14.0 GiB", "13.5 GiB (1.04x less)"]
    assert rows["Memory/KV cache"] == ["315 MiB", "124 MiB (2.55x less)"]
    assert rows["Speed-up over dense/decode"] == ["reference", "within noise [0.97, 1.05]"]


def test_one_arm_is_compared_with_nothing():
    rows = table(factory.dense_only())
    assert not any("Speed-up" in key or "against" in key for key in rows)
    assert "within noise" not in footer(factory.dense_only())["reading"]
    assert "interleaved" not in footer(factory.dense_only())["measured"]


def test_missing_values_are_not_zero():
    rows = table(factory.missing_values())
    for key, cells in rows.items():
        if key.startswith(("Time", "Memory")):
            assert cells == ["n/a", "n/a"], key
    assert [rows[f"Speed-up over dense/{stage}"][1] for stage in ("prefill", "decode")] == [
        "n/a",
        "n/a",
    ]
    assert footer(factory.missing_values())["measured"] == "nothing was timed; cuda:0"


def test_an_arm_without_a_comparison_is_not_called_the_same():
    report = replace(factory.report(), comparisons=())
    rows = table(report)
    assert rows["/against dense"] == ["reference", "n/a"]
    assert rows["Speed-up over dense/prefill"] == ["reference", "n/a"]


def test_agreement_says_where_answers_part():
    found = factory.comparison(answers_identical=False, token_agreement=0.75, first_divergence=3)
    assert text(wording.agreement(found)) == "differs from token 3 on, 75 % agree"
    unknown = replace(found, first_divergence=None)
    assert text(wording.agreement(unknown)) == "differs, 75 % agree"


def test_peaks_of_different_kinds_are_told_apart():
    report = factory.report(arms=(factory.dense(), factory.on_cpu(factory.dropped())))
    cells = table(report)["Memory/peak"]
    assert cells == ["14.0 GiB (GPU allocator)", "870 MiB (process RSS) (1.04x less)"]


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
        "median of 3 to 5 repeats (5 asked for)"
        in footer(factory.report(arms=(factory.dense(), arm)))["measured"]
    )
    alone = factory.report(
        arms=(factory.dense(timing=Timing(prefill_s=Stats(0.2, (0.2,)))),),
        request=factory.request(repeats=1, warmup=2, timed_new_tokens=1),
    )
    assert footer(alone)["measured"] == (
        "median of 1 repeat after 2 warm-ups; 1 new token per timed generation; cuda:0"
    )
    assert table(alone)["Time (median)/prefill"] == ["200 ms"]


def test_a_cpu_says_so():
    found = footer(factory.dummy_report())
    assert found["device"] == "measured on the CPU: wall clock; GPU figures n/a"
    assert found["measured"].endswith("cpu, wall clock")
    assert "device" not in footer(factory.report())


def test_the_dummy_label_is_not_said_twice_in_a_row():
    report = factory.dummy_report()
    report = replace(report, warnings=(*report.warnings, CaveatKind.DUMMY_WEIGHTS.caveat()))
    facts = [fact.text for fact in build_view(report).footer]
    assert facts.count(wording.DUMMY_LABEL) == 1


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (factory.IMAGE, "street scene.jpg, image 640{x}480"),
        (factory.VIDEO, "kitchen.mp4, video 336{x}336, 8 frames from 0 s to 7.00 s"),
        (
            MediaRecord("a.mp4", "video", 8, 6, 1, (0.5,)),
            "a.mp4, video 8{x}6, 1 frame from 500 ms to 500 ms",
        ),
        (MediaRecord("a.mp4", "video", 8, 6, 2, None), "a.mp4, video 8{x}6, 2 frames"),
        (MediaRecord(None, "image", 8, 6, 1, synthetic=True), "synthetic, image 8{x}6"),
        (MediaRecord(None, "video", 8, 6, 3, synthetic=True), "synthetic, video 8{x}6, 3 frames"),
    ],
)
def test_media_are_named_with_size_and_times(record, expected):
    assert text(wording.media(record)) == expected.format(x=TIMES)


@pytest.mark.parametrize(
    ("ratio", "word"), [(2.0, " (2.00x less)"), (0.5, " (2.00x more)"), (1.0, ""), (1.004, "")]
)
def test_memory_ratios_say_which_way(ratio, word):
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
