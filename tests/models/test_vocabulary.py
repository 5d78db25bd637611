"""A prompt that the embedded model cannot understand is told from one that it can."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import v2drop_cli as v2drop
from v2drop_cli.models.names import ALIASES
from v2drop_cli.models.vocabulary import unknown_words
from v2drop_cli.records import DUMMY
from v2drop_cli.tasks.drawn.questions import SCENE_TASKS, questions_for
from v2drop_cli.tasks.drawn.scenes import sample_scene


@pytest.fixture(scope="module")
def tiny():
    return v2drop.load("tiny", device="cpu")


def test_no_word_of_what_it_was_trained_on_is_called_unknown(tiny):
    rng = random.Random(0)
    asked = [*ALIASES["tiny"].prompts.values()]
    for _ in range(20):
        scene = sample_scene(rng)
        asked += [each.text for each in questions_for(scene, SCENE_TASKS, 3, rng)]
    assert {text: unknown_words(tiny, text) for text in asked} == dict.fromkeys(asked, ())


def test_words_that_it_never_read_are_named_once(tiny):
    [caveat] = unknown_words(tiny, "What BREED is the cat, and which breed?")
    assert caveat.code == "unknown_words"
    assert "never read breed, cat, and:" in caveat.message


def test_of_other_models_and_of_dummy_weights_nothing_is_said(tiny):
    text = "what breed is the cat?"
    assert unknown_words(replace(tiny, source="another"), text) == ()
    assert unknown_words(replace(tiny, weights=DUMMY), text) == ()
