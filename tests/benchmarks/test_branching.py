"""The study's engine answers as the package does, and its variants are what they are called."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from benchmarks.tiny.branching import branching
from benchmarks.tiny.export import ASSETS
from benchmarks.tiny.model import SIDE
from benchmarks.tiny.sample import MEDIA, sample_scene
from benchmarks.tiny.variants import TRIED, Look, length, merging, quota, shipped
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import Question

QUESTIONS = [
    Question("count", "how many circles are there?", "1"),
    Question("describe", "describe the image.", "a blue circle, a red star, a green triangle"),
    Question("beside", "what is left of the star?", "blue circle"),
]
METHODS = ("v2drop", "v2drop-centred", "uniform")


@pytest.fixture(scope="module")
def asked():
    scene = render(sample_scene(), SIDE)
    return branching(ASSETS).ask([scene], QUESTIONS, torch.zeros(576, dtype=torch.bool), 0)


@pytest.fixture(scope="module")
def dense(asked):
    return branching(ASSETS).dense(asked)


@pytest.mark.parametrize("schedule", ["1:0.5,6:0.3,8:0", "2:20t", "1:0"])
def test_branches_answer_as_dropping_and_generate_do(asked, dense, schedule):
    variants = [shipped(name) for name in METHODS]
    rows = branching(ASSETS).right(asked, dense, v2drop.Schedule.parse(schedule), variants)
    loaded = v2drop.load("tiny", device="cpu")
    picture = v2drop.load_image(MEDIA / "scene.png")
    for name, row in zip(METHODS, rows, strict=True):
        for question, right in zip(QUESTIONS, row, strict=True):
            inputs = loaded.prepare([picture], question.text).tensors
            with v2drop.dropping(loaded, schedule, method=name):
                output = loaded.model.generate(**inputs, do_sample=False, max_new_tokens=24)
            assert (loaded.decode(output) == [question.answer]) == right, (name, question)


def test_what_is_right_and_wrong_is_told_apart(asked, dense):
    model = branching(ASSETS)
    assert model.judged(asked, dense[-1])[0][0]
    described = model.right(asked, dense, v2drop.Schedule.parse("1:0"), [shipped("uniform")])[0][1]
    assert not described


def look(hidden: torch.Tensor, places: torch.Tensor) -> Look:
    shown = torch.zeros(len(places), dtype=torch.bool)
    return Look(1, hidden, hidden - 1, hidden, places, shown, None, 0)


def test_a_quota_takes_the_best_of_each_region_before_a_second_one():
    places = torch.tensor([0, 1, 2, 20, 21, 500])  # three in one corner, two in another, one below
    hidden = torch.tensor([[9.0], [8.0], [7.0], [3.0], [4.0], [1.0]])
    index, merged = quota(lambda at: length(at.hidden))(look(hidden, places), 4)
    assert index.tolist() == [0, 1, 4, 5]
    assert merged is None


def test_merging_averages_each_dropped_token_into_the_most_similar_kept_one():
    hidden = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.1], [0.1, 5.0], [2.0, 0.0]])
    choose = merging(lambda at, keep: (torch.arange(keep), None))
    index, merged = choose(look(hidden, torch.arange(5)), 2)
    assert index.tolist() == [0, 1]
    torch.testing.assert_close(merged, torch.tensor([[2.0, 0.1 / 3], [0.05, 3.0]]))


def test_every_variant_keeps_as_many_as_it_is_told(asked, dense):
    model = branching(ASSETS)
    variants = list(TRIED.values())
    rows = model.right(asked, dense, v2drop.Schedule.parse("11:7t"), variants)
    assert len(rows) == len(variants)
