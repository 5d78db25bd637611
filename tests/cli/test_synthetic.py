"""Synthetic input from the command line: what it needs, what it says, what is refused."""

from __future__ import annotations

import json

import pytest

from tests.checkpoints import save_config
from tests.cli.conftest import QUICK, SAMPLES
from v2drop_cli.records.reading import load_report

CAT, CLIP = SAMPLES / "cat.jpg", SAMPLES / "clip.mp4"
BRIEF = (
    "--repeats", "3", "--warmup", "0", "--max-time", "0", "--new-tokens", "2",
    "--max-new-tokens", "3",
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A configuration, and nothing else."""
    return save_config(tmp_path_factory.mktemp("config") / "model") / "config.json"


@pytest.fixture
def dummy(v2drop, file):
    def call(*args):
        return v2drop("profile", "--model", file, "--weights", "dummy", *args)

    return call


def test_a_profile_of_a_configuration_alone(dummy, tmp_path):
    path = tmp_path / "r.json"
    result = dummy(
        *BRIEF, "--image-size", "70x50", "--image-size", "20x20", "--text-tokens", 5,
        "--output", path,
    )  # fmt: skip
    assert result.code == 0, result.err
    for said in ("synthetic, image 70", "(5 random tokens)", "warning      synthetic input:"):
        assert said in result.out, said
    rows = {
        line.split("  ")[1]: line.split()[-1] for line in result.out.splitlines() if "  " in line
    }
    for row in ("media decode", "preprocess", "to first token", "end to end"):
        assert rows[row] == "n/a", row
    report = load_report(path)
    assert report["request"]["media"][0] == {
        "path": None, "kind": "image", "width": 70, "height": 50, "frames": 1,
        "frame_times_s": None, "synthetic": True, "sha256": None,
    }  # fmt: skip
    assert report["arms"][0]["vision_tokens"] == 2 * 36
    assert report["arms"][0]["timing"]["preprocess_s"] is None
    assert "synthetic_input" in [warning["code"] for warning in report["warnings"]]


def test_run_takes_it_too_and_frames_make_a_video(v2drop, file):
    result = v2drop("run", "--model", file, "--weights", "dummy", *QUICK, "--frames", 2, "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    [media] = report["request"]["media"]
    assert (media["kind"], media["width"], media["frames"]) == ("video", 24, 2)
    assert report["request"]["prompt"] == "(64 random tokens)"
    assert report["arms"][0]["vision_tokens"] == 2 * 36


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--image-size", "70"], ["'70' is no size", "WIDTHxHEIGHT"]),
        (["--image-size", "0x3"], ["'0x3' is no size"]),
        (["--image-size", "9x9", "--image-size", "8x8", "--frames", "2"], ["several --image-size"]),
        (["--image-size", "99999x99999"], ["too large"]),
        (["--prompt", "why?"], ["--prompt with synthetic input", "--text-tokens"]),
        (["--image", CAT, "--image-size", "9x9"], ["--image-size with --image or --video"]),
        (["--video", CLIP, "--text-tokens", "9"], ["--text-tokens with --image or --video"]),
        (["--image", CAT, "--video", CLIP], ["--image and --video"]),
    ],
)
def test_what_excludes_itself_is_refused_before_any_work(dummy, monkeypatch, args, said):
    import v2drop_cli.models.loading as loading

    def never(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(loading, "load", never)
    dummy(*args).refused(2, *said)


def test_trained_weights_need_something_to_look_at(v2drop):
    for command in ("run", "profile"):
        for args in ([], ["--image-size", "9x9"], ["--frames", "2"]):
            v2drop(command, *args).refused(2, "nothing to look at", "--weights dummy")


def test_a_family_without_synthetic_input_is_refused_by_name(dummy, monkeypatch):
    from dataclasses import replace

    import v2drop_cli.models.loading as loading
    from v2drop_cli.models.families.llava import LLAVA

    monkeypatch.setattr(loading, "family_for", lambda config, **_: replace(LLAVA, synthetic=None))
    dummy().refused(1, "no synthetic input for llava models", "--image FILE")
    monkeypatch.setattr(loading, "family_for", lambda config, **_: replace(LLAVA, media=("image",)))
    dummy("--frames", 2).refused(2, "llava models take no video")


def test_media_without_a_processor_hint_at_it(v2drop, tmp_path):
    from tests.families import CASES
    from v2drop_cli.prove.cases.case import TEXT

    case = CASES["qwen2_vl"]
    (tmp_path / "config.json").write_text(case.config(TEXT, case.ids).to_json_string(False))
    v2drop("profile", "--model", tmp_path, "--weights", "dummy", "--image", CAT).refused(
        1, "need this model's processor", "leave out --image and --video for synthetic input"
    )
