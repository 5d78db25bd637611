"""A prompt longer than the model's context: said, and not made unasked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoints import small_llava
from v2drop_cli import load
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.media import load_video
from v2drop_cli.models import frame_count as frames
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.families.llava import LLAVA
from v2drop_cli.models.frame_count import fitting

CLIP = Path(__file__).parents[2] / "sample_media" / "clip.mp4"
PER_FRAME = 36
WORDS = 30  # more than the turn and the question have, less than a frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint for 210 tokens: five frames of 36 with their words and four new ones."""
    folder = tmp_path_factory.mktemp("short")
    model, processor = small_llava(3)
    model.config.text_config.max_position_embeddings = 5 * PER_FRAME + WORDS
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder) -> LoadedModel:
    return load(str(folder), device="cpu")


def codes(media):
    return [caveat.code for caveat in media.caveats]


def test_as_many_frames_as_fit(loaded):
    video = load_video(CLIP, 8)
    found = fitting(loaded, video, "what?", 4)
    assert len(found.frames) == 5
    assert found.frame_times_s == load_video(CLIP, 5).frame_times_s
    assert codes(found) == [*codes(video), "fewer_frames"]
    message = found.caveats[-1].message
    assert all(text in message for text in ("clip.mp4", "5 frames", " 8", "210", "--frames"))
    length = loaded.prepare([found], "what?").tensors["input_ids"].shape[1]
    assert length + 4 <= 210 < length + PER_FRAME + 4


def test_the_answer_needs_its_places_too(loaded):
    assert len(fitting(loaded, load_video(CLIP, 8), "what?", 4 + PER_FRAME).frames) == 4


def test_frames_that_fit_stay(loaded):
    video = load_video(CLIP, 5)
    assert fitting(loaded, video, "what?", 4) is video


def test_mosaics_count_as_they_are_shown(folder):
    """Four frames a picture: twelve of them in three pictures have room."""
    loaded = load(str(folder), device="cpu")
    loaded.model.config.frame_grid = [2, 2]
    loaded.model.config.text_config.max_position_embeddings = 3 * PER_FRAME + WORDS
    assert len(fitting(loaded, load_video(CLIP, 16), "what?", 4).frames) == 12


def test_where_nothing_fits_the_fewest_frames_are_taken(loaded):
    """Some models take no video of one frame."""
    assert len(fitting(loaded, load_video(CLIP, 8), "what?", 205).frames) == 1

    def picky(processor, config, media, prompt):
        if len(media[0].frames) < 2:
            raise MediaArgumentError("two frames and more")
        return LLAVA.process(processor, config, media, prompt)

    strict = replace(loaded, family=replace(LLAVA, process=picky))
    assert len(fitting(strict, load_video(CLIP, 8), "what?", 205).frames) == 2
    video = load_video(CLIP, 2)
    assert fitting(strict, video, "what?", 205) is video


def test_a_model_that_does_not_say_is_shown_all(loaded, monkeypatch):
    monkeypatch.setattr(frames, "context_of", lambda config: None)
    video = load_video(CLIP, 8)
    assert fitting(loaded, video, "what?", 4) is video


# On the command line ----------------------------------------------------------------------------

QUICK = ("--json", "--max-new-tokens", "4", "--warmup", "0")
COMMANDS = {
    "run": ("run", *QUICK, "--repeats", "1"),
    "profile": ("profile", *QUICK, "--new-tokens", "2", "--repeats", "1", "--max-time", "0.01"),
}


def report(folder, *options):
    from typer.testing import CliRunner

    from v2drop_cli.cli import app

    result = CliRunner().invoke(app, [*options, "--model", str(folder), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_default_video_fits_and_what_was_asked_for_is_done(folder, command):
    unasked = report(folder, *COMMANDS[command], "--video", str(CLIP))
    [media] = unasked["request"]["media"]
    found = {caveat["code"] for caveat in unasked["warnings"]}
    assert (media["frames"], "fewer_frames" in found, "beyond_context" in found) == (5, True, False)
    asked = report(folder, *COMMANDS[command], "--video", str(CLIP), "--frames", "8")
    [media] = asked["request"]["media"]
    found = {caveat["code"]: caveat["message"] for caveat in asked["warnings"]}
    assert media["frames"] == 8
    assert "fewer_frames" not in found
    assert "210" in found["beyond_context"]


@pytest.mark.parametrize("command", COMMANDS)
def test_pictures_beyond_the_context_are_said(folder, command):
    scene = ("--image", str(CLIP.with_name("scene.png")))
    few = report(folder, *COMMANDS[command], *scene)
    assert "beyond_context" not in {caveat["code"] for caveat in few["warnings"]}
    many = report(folder, *COMMANDS[command], *scene * 6)
    assert "beyond_context" in {caveat["code"] for caveat in many["warnings"]}
