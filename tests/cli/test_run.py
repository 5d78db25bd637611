"""`v2drop run` where it works: the contract's JSON, the forms of the report, dummy weights."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.checkpoints import save_config
from tests.cli.conftest import QUICK, SAMPLES
from tests.methods.toys import Choosy, Longer, only, registered
from v2drop_cli.bench.passes import Passes
from v2drop_cli.records import SCHEMA
from v2drop_cli.records.reading import read_report
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.markdown import to_markdown

CAT, SCENE, CLIP = SAMPLES / "cat.jpg", SAMPLES / "scene.png", SAMPLES / "clip.mp4"
ARM_KEYS = {
    "label", "method", "schedule", "answer", "vision_tokens", "layer_average_vision_tokens",
    "drops", "timing", "memory", "energy_j", "limit", "capture_s", "parameters", "movements",
    "budget", "solved",
}  # fmt: skip
TIMING_KEYS = {"preprocess_s", "vision_s", "prefill_s", "decode_s_per_token", "generate_s"}


def test_frames_of_an_image_are_no_error_but_said_to_do_nothing(quick):
    result = quick("--image", CAT, "--frames", "4")
    assert result.code == 0
    assert "note: --frames is for --video" in result.err


def test_json_is_the_contract(quick):
    result = quick("--image", CAT, "--json", "--seed", 3)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["schema"] == SCHEMA
    assert set(report) == {
        "schema", "environment", "request", "arms", "comparisons", "null_comparison", "warnings",
        "protocol", "stopped_by", "random_comparisons", "lead", "summary", "command",
    }  # fmt: skip
    assert report["stopped_by"] == "rounds"
    assert report["request"]["weights"] == "trained"
    assert report["request"]["seed"] == 3
    dense, dropped = report["arms"]
    assert set(dense) == ARM_KEYS
    assert set(dense["timing"]) >= TIMING_KEYS
    assert (dense["label"], dense["method"], dense["schedule"], dense["drops"]) == (
        "dense", None, None, [],
    )  # fmt: skip
    assert dropped["method"] == "v2drop"
    # 6 layers: 3/32, 17/32 and 22/32 of the depth; 36 tokens, int(36 * .5), int(18 * .3), 0.
    assert dropped["schedule"] == "1:0.5,3:0.3,4:0"
    assert [(d["layer"], d["before"], d["after"]) for d in dropped["drops"]] == [
        (1, 36, 18), (3, 18, 5), (4, 5, 0),
    ]  # fmt: skip
    assert dropped["layer_average_vision_tokens"] == (36 + 18 * 2 + 5) / 6
    kept = dropped["drops"][1]["kept"]
    assert len(kept) == 1
    assert set(kept[0]) < set(dropped["drops"][0]["kept"][0])
    assert dropped["memory"]["peak_allocated_bytes"] is None
    assert dropped["memory"]["kv_cache_bytes"] < dense["memory"]["kv_cache_bytes"]
    [comparison] = report["comparisons"]
    assert (comparison["arm"], comparison["reference"]) == ("v2drop", "dense")
    assert comparison["kv_cache_ratio"] > 1
    assert [warning["code"] for warning in report["warnings"]] == ["device_cpu"]


def test_kv_bytes_are_what_the_shapes_say(quick):
    report = json.loads(quick("--image", CAT, "--json", "--max-new-tokens", 3).out)
    dense, dropped = report["arms"]
    # float32, 2 heads of 8, keys and values; prompt and all but the last of 3 new tokens.
    a_token = 4 * 2 * 8 * 2
    text = dense["memory"]["kv_cache_bytes"] // a_token // 6 - 36
    assert dense["memory"]["kv_cache_bytes"] == 6 * (36 + text) * a_token
    alive = 36 + 18 * 2 + 5
    assert dropped["memory"]["kv_cache_bytes"] == (alive + 6 * text) * a_token


def test_several_methods_schedules_and_images(quick):
    result = quick(
        "--image", CAT, "--image", SCENE, "--schedule", "1:0.5", "--budget", "50%",
        "--method", "v2drop", "--method", "random", "--json",
    )  # fmt: skip
    report = json.loads(result.out)
    assert [arm["label"] for arm in report["arms"]] == [
        "dense", "v2drop 1:0.5", "random 1:0.5", "v2drop budget 50%", "random budget 50%",
    ]  # fmt: skip
    assert report["arms"][0]["vision_tokens"] == 72
    averages = [arm["layer_average_vision_tokens"] for arm in report["arms"]]
    assert averages[1] == (72 + 36 * 5) / 6
    assert averages[3] == pytest.approx(36, abs=0.5)


def test_all_takes_what_can_run_and_tells_the_rest_on_stderr_and_in_the_report(quick, monkeypatch):
    only(monkeypatch, "random", "v2drop")
    registered(monkeypatch, Choosy, Longer)
    result = quick("--image", CAT, "--method", "all", "--budget", "50%", "--json")
    report = json.loads(result.out)
    labels = [arm["label"] for arm in report["arms"][1:]]
    assert labels == [f"{name} budget 50%" for name in ("v2drop", "random", "longer")]
    averages = [arm["layer_average_vision_tokens"] for arm in report["arms"][1:]]
    assert averages[:2] == [18, 18]
    # Thresholds keep one token more or less, in each of five layers of six.
    assert averages[2] == pytest.approx(18, abs=1)
    [line] = [line for line in result.said if "choosy" in line]
    [left_out] = [w["message"] for w in report["warnings"] if w["code"] == "method_left_out"]
    assert line == f"warning: {left_out}"
    assert report["arms"][3]["parameters"]["times"] != 1.0


def test_two_methods_in_a_row_are_one_arm_by_their_own_names(quick):
    typed = "random+v2drop:positions=renumbered"
    result = quick("--image", CAT, "--method", typed, "--budget", "18", "--json")
    [_, arm] = json.loads(result.out)["arms"]
    assert (arm["label"], arm["method"]) == (f"{typed} budget 18", "random+v2drop")
    assert arm["parameters"]["v2drop.positions"] == "renumbered"
    assert [drop["layer"] for drop in arm["drops"]] == [0, 1, 3, 4]
    assert arm["layer_average_vision_tokens"] == pytest.approx(18, abs=0.5)


def test_an_empty_prompt_is_asked_as_it_is(quick):
    result = quick("--image", CAT, "--prompt", "", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["request"]["prompt"] == ""


def test_more_frames_than_there_are_takes_each_once_and_says_so(quick):
    result = quick("--video", CLIP, "--frames", 500, "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["request"]["media"][0]["frames"] == 24
    assert "video_fewer_frames" in [warning["code"] for warning in report["warnings"]]


def test_output_files_hold_the_same_report(quick, tmp_path):
    path, page = tmp_path / "report.json", tmp_path / "report.md"
    result = quick("--image", CAT, "--json", "--output", path, "--export-md", page)
    assert result.err.splitlines()[-2:] == [f"Wrote {path}", f"Wrote {page}"]
    assert json.loads(result.out) == json.loads(path.read_text())
    assert {p.name for p in tmp_path.iterdir()} == {"report.json", "report.md"}
    text = page.read_text()
    assert "\n## Against dense\n" in text
    assert to_markdown(build_view(read_report(path))) == text


def test_the_first_screen_says_the_finding(quick, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    screen = quick("--image", CAT).out.splitlines()[:24]
    start = screen.index("Against dense")
    sentence = " ".join(screen[screen.index("") + 1 : start])
    assert "v2drop" in sentence
    assert "dense" in sentence
    assert "answer" in sentence
    assert "KV cache" in sentence
    assert [screen[at].split()[0] for at in (start + 2, start + 3)] == ["dense", "v2drop"]


def test_report_on_a_pipe_is_plain(quick):
    result = quick("--image", CAT)
    assert result.code == 0, result.err
    assert result.said == []
    talk = [re.split(" |: ", line)[0] for line in result.err.splitlines()]
    assert talk == [
        "starting", "loading", "answers", "dense", "v2drop", "memory", "rounds", "intervals",
    ]  # fmt: skip
    assert "\x1b" not in result.out
    for said in ("cat.jpg", "dense", "v2drop", "36 → 18 → 5 → 0", "KV cache", "1 round"):
        assert said in result.out


@pytest.mark.parametrize(("trials", "rounds"), [(5, 2), (1, 0)])
def test_an_interrupted_run_shows_and_writes_what_there_is(
    quick, monkeypatch, tmp_path, trials, rounds
):
    timed, left, path = Passes.time, [trials], tmp_path / "r.json"

    def interrupt(self, *args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return timed(self, *args)

    monkeypatch.setattr(Passes, "time", interrupt)
    result = quick("--image", CAT, "--repeats", 9, "--output", path)
    assert result.code == 130
    assert result.said[-1] == "interrupted: the report is partial"
    assert "INTERRUPTED after" in result.out
    report = read_report(path)
    assert (report.partial, report.stopped_by, report.rounds) == (True, "interrupted", rounds)
    assert report.arms[1].drops
    assert report.protocol is None


def test_video(quick):
    result = quick("--video", CLIP, "--frames", 8, "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    [media] = report["request"]["media"]
    assert (media["kind"], media["frames"]) == ("video", 8)
    assert media["frame_times_s"] == sorted(media["frame_times_s"])
    assert report["arms"][0]["vision_tokens"] == 8 * 36


def test_dummy_weights_from_a_config_alone(v2drop, tmp_path):
    folder = save_config(tmp_path / "config-only")
    args = ("--model", folder, "--weights", "dummy", "--image", CAT, *QUICK)
    result = v2drop("run", *args)
    assert result.code == 0, result.err
    assert "dummy weights: timings are real, answers are not" in result.out
    report = json.loads(v2drop("run", *args, "--json").out)
    assert report["request"]["weights"] == "dummy"
    assert "dummy_weights" in [warning["code"] for warning in report["warnings"]]
    assert report["arms"][0]["vision_tokens"] == 36
    again = json.loads(v2drop("run", *args, "--json").out)
    assert [arm["answer"] for arm in again["arms"]] == [arm["answer"] for arm in report["arms"]]


def test_the_page_says_how_it_was_made(quick, tmp_path):
    page, settings = tmp_path / "a report.html", tmp_path / "v2drop.toml"
    settings.write_text('prompt = "what is it?"\n')
    options = ("--image", CAT, "--export-html", page, "--config", settings, "--json")
    result = quick(*options)
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1] == f"Wrote {page}"
    document = json.loads(result.out)
    typed = shlex.split(document["command"])
    assert typed[:2] == ["v2drop", "run"]
    for name, value in [("--prompt", "what is it?"), ("--export-html", str(page))]:
        assert typed[typed.index(name) + 1] == value
    assert "--json" in typed
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert document["summary"].startswith("v2drop is ")


def test_a_prompt_that_the_embedded_model_cannot_understand_is_said_at_once(v2drop):
    result = v2drop("run", "--image", CAT, "--prompt", "what breed is the cat?", *QUICK, "--json")
    assert result.code == 0, result.err
    [told] = [
        w["message"] for w in json.loads(result.out)["warnings"] if w["code"] == "unknown_words"
    ]
    lines = result.err.splitlines()
    at = lines.index(f"warning: {told}")
    assert not any(line.startswith("rounds") for line in lines[:at])
