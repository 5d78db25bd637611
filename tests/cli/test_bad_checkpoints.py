"""Checkpoints as they lie about, given to the command: an answer, or one clear line."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.checkpoints import edit_json, edit_weights
from tests.cli.conftest import QUICK, SAMPLES
from v2drop_cli.models.names import ALIASES

SCENE = SAMPLES / "scene.png"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 6928064\n"


@pytest.fixture
def copy(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "copy")


@pytest.fixture
def run(v2drop):
    """`v2drop run` on the sample scene with a checkpoint."""

    def call(model, *args):
        return v2drop("run", "--model", model, "--image", SCENE, *QUICK, *args)

    return call


def warnings_of(result):
    assert result.code == 0, result.err
    return {entry["code"]: entry["message"] for entry in json.loads(result.out)["warnings"]}


def test_missing_weights(run, copy):
    edit_weights(copy, lambda w: {k: v for k, v in w.items() if "projector" not in k})
    run(copy).refused(1, "is incomplete", "multi_modal_projector", "fetch the checkpoint again")
    edit_weights(copy, lambda w: {f"base_model.model.{k}": v for k, v in w.items()})
    run(copy, "--json").refused(1, "base_model.model.", "merge_and_unload")


def test_git_lfs_pointers(run, copy):
    (copy / "model.safetensors").write_text(POINTER)
    run(copy).refused(1, "model.safetensors", "git-lfs pointer", "git lfs pull")


def test_settings_that_were_set_aside_are_in_the_report(run, copy):
    edit_json(copy / "generation_config.json", stop_strings=["</end>"], num_beams=2)
    found = warnings_of(run(copy, "--json"))
    assert found.keys() == {"generation_config_set_aside", "device_cpu"}
    assert found["generation_config_set_aside"].endswith(": num_beams, stop_strings")


def test_a_processor_without_patch_size(run, checkpoint, copy):
    edit_json(copy / "processor_config.json", ("patch_size",))
    whole, part = run(checkpoint, "--json"), run(copy, "--json")
    assert "patch_size 4" in warnings_of(part)["processor_completed"]
    answers = [json.loads(done.out)["arms"][0]["answer"] for done in (whole, part)]
    assert answers[0] == answers[1]


def test_a_prompt_that_its_processor_fails_on(run, copy):
    edit_json(copy / "processor_config.json", image_token="<nothing>")
    images = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    edit_json(copy / "processor_config.json", image_processor={**images, "image_mean": [0.5]})
    run(copy).refused(1, "processor", "fetch them again")


# A directory that has an alias's name ---------------------------------------------------------


@pytest.fixture
def shadow(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(checkpoint, tmp_path / "llava-1.5-7b")


def test_an_alias_that_fails_tells_of_the_directory(run, shadow):
    run("llava-1.5-7b").refused(1, ALIASES["llava-1.5-7b"].source, "./llava-1.5-7b")


def test_the_directory_itself(run, shadow):
    assert "alias_shadows_folder" not in warnings_of(run("./llava-1.5-7b", "--json"))


def test_an_alias_that_works_tells_of_it_too(run, shadow, tmp_path):
    """Where the directory is a model: others may be called anything."""
    shadow.rename(tmp_path / "tiny")
    assert "./tiny" in warnings_of(run("tiny", "--json"))["alias_shadows_folder"]
    (tmp_path / "tiny" / "config.json").unlink()
    assert "alias_shadows_folder" not in warnings_of(run("tiny", "--json"))


# Doctor ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", POINTER),
        ("config.json", '{"model_type": "made_up"}'),
        ("model.safetensors", POINTER),
        ("model.safetensors", "half"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_checkpoint(v2drop, copy, name, text):
    def found():
        document = json.loads(v2drop("doctor", "--json", "--model", copy).out)
        return {row["name"]: row for row in document["findings"]}

    assert found()["model files"]["ok"] is True
    (copy / name).write_text(text)
    row = found()["model files"]
    assert row["ok"] is False
    assert row["fix"]
    assert name in row["detail"] or "made_up" in row["detail"]
