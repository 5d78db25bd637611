"""`v2drop profile` from the command line: the report, the files, the exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import SAMPLES
from tests.patience import PATIENCE_S, wait_for
from v2drop_cli.records.reading import load_report

CAT, CLIP = SAMPLES / "cat.jpg", SAMPLES / "clip.mp4"
BRIEF = (
    "--repeats", "5", "--warmup", "0", "--max-time", "0", "--new-tokens", "2",
    "--max-new-tokens", "3",
)  # fmt: skip


@pytest.fixture
def brief(v2drop, checkpoint):
    def call(*args):
        return v2drop("profile", "--model", checkpoint, *BRIEF, *args)

    return call


def test_a_clip_at_two_ratios(brief):
    result = brief("--video", CLIP, "--frames", 4, "--ratios", "0.5,0.25")
    assert result.code == 0, result.err
    # No terminal: a line when a phase begins, and one for each answer.
    assert [re.split(" |: ", line)[0] for line in result.err.splitlines()] == [
        "starting", "loading", "answers", "dense", "v2drop", "random", "memory",
        "rounds", "intervals",
    ]  # fmt: skip
    assert "rounds: at least 5" in result.err.splitlines()
    for said in (
        "dense", "v2drop", "random", "144 → 72 → 18", "noise floor", "scoring", "stopped",
        "time over after 5 rounds", "KV cache", "prefill", "media decode", "end to end",
    ):  # fmt: skip
        assert said in result.out, said


def test_all_files_tell_of_the_same_rounds(brief, tmp_path):
    paths = [tmp_path / name for name in ("r.json", "r.md", "r.csv")]
    flags = ("--output", "--export-md", "--export-csv")
    pairs = [item for pair in zip(flags, paths, strict=True) for item in pair]
    result = brief("--image", CAT, "--json", *pairs)
    assert result.code == 0, result.err
    document = load_report(paths[0])
    assert document == json.loads(result.out)
    assert document["protocol"]["stopped_by"] == "time"
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))
    prefill = [row for row in rows if row["stage"] == "prefill_s"]
    assert len(prefill) == 5 * 4
    assert {row["arm"] for row in prefill} == {"dense", "v2drop", "random", "dense (null)"}
    dense = [float(row["seconds"]) for row in prefill if row["arm"] == "dense"]
    assert dense == document["arms"][0]["timing"]["prefill_s"]["samples"]
    assert "| prefill |" in paths[1].read_text()


def test_every_arm_is_quantised_alike_and_v2drop_is_explained(brief):
    result = brief("--image", CAT, "--json", "--fake-quant", "w4a4", "--explain")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["request"]["fake_quant"] == "w4a4"
    assert "fake_quant" in [caveat["code"] for caveat in document["warnings"]]
    dense, v2drop, random = document["arms"]
    assert [one["layer"] for one in v2drop["movements"]] == [d["layer"] for d in v2drop["drops"]]
    assert dense["movements"] == random["movements"] == []
    [held] = document["random_comparisons"]
    assert (held["arm"], held["reference"]) == (v2drop["label"], random["label"])


def test_what_means_nothing_is_refused_before_a_model_is_loaded(v2drop):
    absent = ("profile", "--model", "llava-1.5-7b", "--image", CAT)
    v2drop(*absent, "--fake-quant", "int4").refused(2, "'int4' is no fake quantisation", "w4a4")
    v2drop(*absent, "--explain", "--method", "random").refused(2, "--explain", "--method v2drop")


def test_a_disk_that_is_full_for_a_while_costs_no_rounds(brief, tmp_path, monkeypatch):
    from v2drop_cli.report import result_file

    real, left = result_file.write_atomically, [2]

    def write(path, text):
        if left[0] > 0:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        real(path, text)

    monkeypatch.setattr(result_file, "write_atomically", write)
    path = tmp_path / "r.json"
    result = brief("--image", CAT, "--output", path)
    assert result.code == 0
    assert result.err.count("No space left on device; measuring goes on") == 1
    assert load_report(path)["protocol"]["rounds"] == 5
    left[0] = 1000
    full = brief("--image", CAT, "--output", path)
    assert full.code == 1
    assert "No space left on device" in full.err
    assert "time over after 5 rounds" in full.out  # what was measured is shown all the same


def test_gates(brief, tmp_path):
    path = tmp_path / "r.json"
    held = brief("--image", CAT, "--fail-if", "dense:vision_tokens!=36")
    assert held.code == 0, held.err
    failed = brief(
        "--image", CAT, "--output", path,
        "--fail-if", "kv_cache_ratio<99", "--fail-if", "last_vision_tokens<1",
    )  # fmt: skip
    assert failed.code == 3
    assert "2 gate(s) failed: kv_cache_ratio<99: v2drop has" in failed.err
    assert "dense" in failed.out  # the report comes first
    assert load_report(path)["protocol"]["rounds"] == 5


def test_undecided_gates_are_told_and_fail_only_if_strict(brief, tmp_path):
    gates = ("--fail-if", "prefill_speedup<1.2,vision_tokens!=36")
    alone = ("--image", CAT, "--repeats", "1", "--no-random", *gates)  # one round: no interval
    told = brief(*alone)
    assert told.code == 0, told.err
    assert told.said == [
        "undecided: prefill_speedup<1.2: v2drop: prefill_speedup has no interval, "
        "which takes 5 rounds or more"
    ]
    path = tmp_path / "r.json"
    sure = brief(*alone, "--strict", "--output", path)
    assert sure.code == 5
    assert "error: 1 gate(s) undecided: prefill_speedup<1.2: v2drop" in sure.err
    assert load_report(path)["protocol"]["rounds"] == 1
    failed = brief(*alone, "--strict", "--fail-if", "vision_tokens>1")
    assert failed.code == 3
    assert "undecided: prefill_speedup<1.2" in failed.err
    decided = brief(*alone[:-1], "kv_cache_ratio<1", "--strict")
    assert decided.code == 0, decided.err


def test_a_measured_ratio_is_never_exactly_a_number(brief):
    brief("--image", CAT, "--fail-if", "prefill_speedup!=1.2").refused(
        2, "'prefill_speedup!=1.2'", "use < or >", "vision_tokens"
    )


def test_bad_input_is_refused_before_any_work(v2drop, tmp_path, monkeypatch):
    import v2drop_cli.models.loading as loading

    def never(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(loading, "load", never)
    v2drop("profile").refused(2, "nothing to look at")
    on_cat = ("profile", "--image", CAT)
    v2drop(*on_cat, "--fail-if", "prefil_speedup<1").refused(2, "did you mean prefill_speedup")
    v2drop(*on_cat, "--fail-if", "fast").refused(2, "cannot read the gate")
    v2drop(*on_cat, "--precision", "0").refused(2, "--precision '0' is no share")
    v2drop(*on_cat, "--decode", "compile").refused(2, "way to decode", "did you mean compiled")
    v2drop(*on_cat, "--precision", "x%").refused(2, "is no share")
    v2drop(*on_cat, "--export-md", tmp_path).refused(2, "directory")
    v2drop(*on_cat, "--export-csv", tmp_path / "no" / "x").refused(2, "no directory")
    v2drop(*on_cat, "--max-time", "inf").refused(2, "is no time")
    v2drop(*on_cat, "--output", CAT).refused(2, "is read, or written to, twice")
    twice = ("--export-md", tmp_path / "x", "--export-csv", tmp_path / "x")
    v2drop(*on_cat, *twice).refused(2, "is read, or written to, twice")


def test_a_gate_about_no_arm_is_refused_before_the_rounds(brief):
    brief("--image", CAT, "--fail-if", "dens:vision_tokens!=1").refused(
        2, "arm 'dens'", "did you mean dense"
    )


def test_compiled_decoding_is_refused_on_a_cpu_by_name(brief):
    refused = brief("--image", CAT, "--decode", "compiled")
    refused.refused(2, "--decode compiled records CUDA graphs", "cpu", "--decode eager")
    eager = brief("--image", CAT, "--decode", "eager", "--json")
    assert json.loads(eager.out)["request"]["decode"] == "eager"


def test_too_many_spoiled_rounds_leave_with_4_after_the_report(brief, monkeypatch):
    import v2drop_cli.commands.profile as module

    monkeypatch.setattr(module, "invalid", lambda protocol: "slowed down in 3 of 4 rounds")
    result = brief("--image", CAT, "--fail-if", "vision_tokens>0")
    assert result.code == 4
    assert result.said[0] == "error: slowed down in 3 of 4 rounds"
    assert "v2drop" in result.out


@pytest.mark.slow
def test_ctrl_c_prints_and_saves_what_there_is(checkpoint, tmp_path):
    path = tmp_path / "r.json"
    command = [sys.executable, "-m", "v2drop_cli", "profile", "--image", CAT]
    process = subprocess.Popen(
        [*map(str, command), "--model", str(checkpoint), "--repeats", "100000", "--output", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell's background jobs ignore SIGINT, and hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(path, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted: the report is partial"
    assert "INTERRUPTED" in out
    document = load_report(path)
    assert document["protocol"]["partial"]
    assert document["protocol"]["stopped_by"] in ("interrupted", "running")
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_model_that_is_split_is_not_decoded_by_graphs(v2drop, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    v2drop(
        "profile", "--image", SAMPLES / "scene.png", "--tp-plan", "auto", "--decode", "compiled"
    ).refused(2, "--decode compiled with --tp-plan")
