"""`loaded.decode`: the answers in what `generate` returned, and the text of one answer's ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import v2drop_cli as v2drop
from v2drop_cli.errors import UsageError
from v2drop_cli.media import load_image
from v2drop_cli.models.answers import Prompts
from v2drop_cli.models.inputs import Inputs

SCENE = Path(__file__).parents[2] / "sample_media" / "scene.png"
QUESTIONS = {"How many circles are there?": "1", "What color is the triangle?": "green"}


@pytest.fixture(scope="module")
def loaded():
    return v2drop.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def prompts(loaded):
    return [loaded.prepare([load_image(SCENE)], question) for question in QUESTIONS]


def generate(loaded, inputs, **options):
    return loaded.model.generate(**inputs.tensors, do_sample=False, max_new_tokens=8, **options)


def test_the_answer_of_what_generate_returned(loaded, prompts):
    for inputs, answer in zip(prompts, QUESTIONS.values(), strict=True):
        output = generate(loaded, inputs)
        assert loaded.decode(output) == [answer]
        ids = output[0, inputs.tensors["input_ids"].shape[1] :]
        assert loaded.decode(ids.tolist()) == answer
        told = generate(loaded, inputs, return_dict_in_generate=True)
        assert loaded.decode(told) == [answer]


def test_a_batch_gives_an_answer_for_each_row(loaded, prompts):
    """Prompts of one length, and of several with padding on the left."""
    rows = [prompt.tensors["input_ids"][0] for prompt in prompts]
    same = Inputs.batch([prompts[0], prompts[0]])
    assert loaded.decode(generate(loaded, same)) == ["1", "1"]
    length = max(map(len, rows)) + 2
    pad = loaded.processor.tokenizer.pad_token_id
    padded = [torch.cat([row.new_full((length - len(row),), pad), row]) for row in rows]
    tensors = {
        "input_ids": torch.stack(padded),
        "attention_mask": torch.stack(padded).ne(pad).long(),
        "pixel_values": torch.cat([prompt.tensors["pixel_values"] for prompt in prompts]),
    }
    output = loaded.model.generate(**tensors, do_sample=False, max_new_tokens=8)
    assert loaded.decode(output) == list(QUESTIONS.values())


def test_inside_dropping(loaded, prompts):
    with v2drop.dropping(loaded, "paper-192"):
        assert loaded.decode(generate(loaded, prompts[1])) == ["green"]


def test_what_is_no_output_of_a_known_prompt_is_refused(loaded, prompts):
    output = generate(loaded, prompts[0])
    with pytest.raises(UsageError, match="begins with no prompt"):
        loaded.decode(output[:, 1:])
    other = v2drop.load("tiny", device="cpu")
    with pytest.raises(UsageError, match="begins with no prompt"):
        other.decode(output)
    for nothing in (output[0], torch.zeros(1, 2, 3), object()):
        with pytest.raises(UsageError, match="takes what generate returned"):
            loaded.decode(nothing)


def test_without_a_tokenizer_there_is_no_text(loaded, prompts):
    mute = replace(loaded, processor=None)
    assert mute.decode(generate(loaded, prompts[0])) == [""]
    assert mute.decode([1, 2]) == ""


def test_the_longest_of_the_prompts_that_fit():
    prompts = Prompts()
    for ids in ([[5, 6]], [[5, 6, 7], [0, 5, 6]]):
        prompts.remember(torch.tensor(ids))
    assert prompts.answer([5, 6, 7, 8], padding=0) == [8]
    assert prompts.answer([5, 6, 9], padding=0) == [9]
    assert prompts.answer([0, 0, 5, 6, 9], padding=0) == [9]
    assert prompts.answer([0, 5, 6, 9], padding=None) == [9]
    with pytest.raises(UsageError):
        prompts.answer([0, 0, 5, 6, 9], padding=None)


def test_only_so_many_prompts_are_remembered(monkeypatch):
    prompts = Prompts()
    for number in range(1100):
        prompts.remember(torch.tensor([[number, 1]]))
    assert prompts.answer([1099, 1, 3], padding=None) == [3]
    with pytest.raises(UsageError):
        prompts.answer([0, 1, 3], padding=None)
