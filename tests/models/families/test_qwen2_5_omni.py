"""Qwen's thinkers: a video's own sound lies between its frames; it stays, and vision drops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from v2drop_cli.prove.cases.case import Piece
from v2drop_cli.prove.cases.qwen2_5_omni import AUDIO, AUDIO_END, AUDIO_START, sound
from v2drop_cli.prove.cases.qwen2_vl import END, START, VIDEO
from v2drop_cli.prove.cases.qwen2_vl import video as clip
from v2drop_cli.prove.oracle import decode, define, masked

# Of each family: how many frames of sound become how many tokens, and tokens after each time step.
HEARD = {"qwen2_5_omni": (16, 4, 2), "qwen3_omni_moe": (15, 2, 1)}
STEPS = 3


def with_sound(name):
    """The family's case, whose videos are heard: after each step of frames its part of the sound.

    A token of sound lasts a second here, so that a step of frames lasts as long as its part.
    """
    frames, tokens, part = HEARD[name]
    case = CASES[name]

    def config(text, ids):
        made = case.config(text, ids)
        made.position_id_per_seconds, made.seconds_per_chunk = 1, part
        return made

    def video(seed):
        seen, heard = clip(seed), sound(frames, tokens, seed)
        steps = int(seen.tensors["video_grid_thw"][0, 0])
        shown = [VIDEO] * (seen.ids.count(VIDEO) // steps)
        parts = [[AUDIO] * part] * (tokens // part)
        parts += [[]] * (steps - len(parts))
        inner = [i for after in parts for i in (*shown, *after)]
        ids = [START, AUDIO_START, *inner, AUDIO_END, END]
        seconds = {"video_second_per_grid": torch.tensor([float(part)])}
        return Piece(ids, [i == VIDEO for i in ids], 2, seen.tensors | heard.tensors | seconds)

    return replace(case, config=config, video=video)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HEARD)
@pytest.mark.parametrize("shape", ["video", "ragged"])
def test_the_sound_of_a_video_stays_and_its_frames_drop(name, shape):
    case = with_sound(name)
    model, (inputs, vision) = case.make("eager"), case.batch(case.prompts(shape))
    inputs["use_audio_in_video"] = True
    row = inputs["input_ids"][1 if shape == "ragged" else 0].tolist()
    between = [i for i, token in enumerate(row) if token == AUDIO and VIDEO in row[i:]]
    assert between
    assert VIDEO in row[: between[-1]]
    dropped, kept = define(case, model, inputs, vision)
    dense, fed = decode(model, inputs, STEPS)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted, _ = decode(model, inputs, STEPS, fed)
    with v2drop.dropping(model, case.schedule) as trace:
        got, _ = decode(model, inputs, STEPS, fed)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    alive = inputs["attention_mask"].bool()
    for rows in dropped.values():
        for b, columns in enumerate(rows):
            alive[b, list(columns)] = False
    assert alive[inputs["input_ids"] == AUDIO].all()
    torch.testing.assert_close(got[0][alive], wanted[0][alive], atol=1e-5, rtol=1e-5)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HEARD)
def test_generate_drops_of_a_video_with_sound_as_a_forward_does(name):
    case = with_sound(name)
    model, (inputs, _) = case.make("sdpa"), case.batch(case.prompts("video"))
    inputs["use_audio_in_video"] = True
    with v2drop.dropping(model, case.schedule) as by_hand:
        _, fed = decode(model, inputs, STEPS)
    with v2drop.dropping(model, case.schedule) as trace:
        out = model.generate(**inputs, do_sample=False, max_new_tokens=STEPS)
    assert out[0, -STEPS:].tolist() == [int(token) for token in fed]
    assert [e.kept for e in trace.events] == [e.kept for e in by_hand.events]
    assert not {i for e in trace.events for i in e.kept[0]} & {
        i for i, token in enumerate(inputs["input_ids"][0].tolist()) if token == AUDIO
    }
