"""HERO against its definition, written out once more over lists."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.methods.test_hired import best, joined
from tests.methods.towers import Row, by_row, kept_by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, mixed_batch, one_prompt
from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.methods.hero import HeroHere, blocks
from v2drop_cli.methods.registry import get_method
from v2drop_cli.records import CaveatKind

EIGHT = SimpleNamespace(config=SimpleNamespace(vision_config=SimpleNamespace(num_hidden_layers=8)))
LATE, EARLY = (6, 7), (2, 3)  # 0.75 to 1 of 8, and 0.25 to 0.5


def cosine(a, b):
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def softmax(values):
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def ranked(picture, layers):
    """One picture's scores."""
    found = []
    for layer in layers:
        a = picture.attention[layer].astype(float)
        found.append((a / a.sum(1, keepdims=True)).mean(0))
    return np.mean(found, axis=0)


def hero(pictures, relevance, k, alpha=0.5, tau_cls=0.1, tau_clip=0.1):
    """Per crop of one image, which of its tokens stay."""
    sizes = [len(p.features) for p in pictures]
    scores = [ranked(pictures[0], LATE), *(ranked(p, EARLY) for p in pictures[1:])]
    tiles = range(1, len(pictures))
    salient = softmax([cosine(pictures[t].output, pictures[0].output) / tau_cls for t in tiles])
    relevant = softmax([relevance[t] / tau_clip for t in tiles])
    weights = [
        0.2 * sizes[t] / sum(sizes[1:]) + 0.8 * (alpha * s + (1 - alpha) * r)
        for t, s, r in zip(tiles, salient, relevant, strict=True)
    ]
    counts = [sizes[0] * k // sum(sizes)]
    rest = k - counts[0]
    counts += [
        min(math.floor(w * rest + 1e-6), size) for w, size in zip(weights, sizes[1:], strict=True)
    ]
    order = [*sorted(tiles, key=lambda t: -weights[t - 1]), 0]
    while sum(counts) < k:
        for crop in order:
            if counts[crop] < sizes[crop] and sum(counts) < k:
                counts[crop] += 1
    return [best(s, n) for s, n in zip(scores, counts, strict=True)]


def by_embeddings(pictures, question):
    """Each picture's mean cosine with the question's."""
    unit = question.astype(float) / np.linalg.norm(question, axis=1, keepdims=True)
    asked = unit.mean(0)
    found = []
    for picture in pictures:
        states = picture.projected.astype(float)
        cosines = (states / np.linalg.norm(states, axis=1, keepdims=True)) @ asked
        found.append(cosines.mean() if len(cosines) else -1)
    return found


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch()])
@pytest.mark.parametrize("k", [1, 9])
def test_an_image_of_one_crop_keeps_what_late_blocks_attend_to(inputs, k):
    _, events, pictures, _ = run("hero", inputs, f"0:{k}t")
    for own, kept in zip(
        by_row(pictures, inputs, IMAGE), kept_by_row(events, inputs, IMAGE), strict=True
    ):
        wanted = []
        for i, picture in enumerate(own):
            count = k if len(own) == 1 else [k - k // 2, k // 2][i]
            wanted += [36 * i + j for j in best(ranked(picture, (1,)), count)]
        assert kept == wanted


@pytest.mark.parametrize("sizes", [[16, 16, 16], [16, 16, 16, 16, 16], [16, 8, 0, 4], [16, 7]])
@pytest.mark.parametrize("values", [{}, {"alpha": 1.0}, {"alpha": 0.25, "tau_cls": 0.5}])
def test_tiles(sizes, values):
    pictures, crop, patch, own = joined(sizes, seed=len(sizes))
    question = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    text = ",".join(f"{key}={value}" for key, value in values.items())
    method = get_method(f"hero:{text}" if text else "hero").attach(EIGHT, None)
    for k in (1, 2, 13, sum(sizes) - 1, sum(sizes)):
        row = Row(pictures, (len(sizes),), crop, patch, 16, question)
        wanted = hero(pictures, by_embeddings(pictures, question), k, **values)
        got = selected(method, row, k).index.tolist()
        assert sorted(got) == sorted(own[t][i] for t, kept in enumerate(wanted) for i in kept)


def test_with_clip_the_question_s_embedding_is_compared_with_class_tokens():
    pictures, crop, patch, own = joined([16, 16, 16, 16])
    question = np.random.default_rng(2).standard_normal((2, 8)).astype(np.float32)
    parts = SimpleNamespace(
        embedded=lambda words: torch.from_numpy(question), projected=lambda states: states * 3
    )
    clip = SimpleNamespace(clip=parts, question=lambda ctx: "what?")
    plain = get_method("hero:alpha=0.1")
    method = HeroHere(plain, LATE, EARLY, clip)
    asked = (question / np.linalg.norm(question, axis=1, keepdims=True)).mean(0)
    relevance = [p.output @ asked / np.linalg.norm(p.output) for p in pictures]
    row = Row(pictures, (4,), crop, patch, 16)
    wanted = hero(pictures, relevance, 20, alpha=0.1)
    assert sorted(selected(method, row, 20).index.tolist()) == sorted(
        own[t][i] for t, kept in enumerate(wanted) for i in kept
    )


def test_images_share_a_count_in_proportion_to_their_tokens():
    pictures = made_up([30, 10])
    method = get_method("hero").attach(EIGHT, None)
    got = sorted(selected(method, Row(pictures), 21).index.tolist())
    assert got[16:] == [30 + i for i in best(ranked(pictures[1], LATE), 5)]


def test_it_runs_on_tiles_and_is_refused_without_a_class_token():
    case = CASES["llava_next"]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("ragged"))
    with torch.no_grad(), v2drop.dropping(model, "0:0.3", method="hero") as trace:
        model.generate(**inputs, max_new_tokens=2, do_sample=False, num_beams=1)
    assert [len(kept) for kept in trace.events[0].kept] == [int(len(row) * 0.3) for row in vision]
    model = CASES["paligemma"].make("sdpa")
    with (
        pytest.raises(UnsupportedModelError, match="no class token"),
        v2drop.dropping(model, "0:0.3", method="hero"),
    ):
        pass


def test_who_read_the_question_is_said(tmp_path):
    said = CaveatKind.QUESTION_BY_DECODER.caveat(method="hero")
    assert get_method("hero").caveats() == (said,)
    assert not get_method(f"hero:text={tmp_path}").caveats()


def test_parts_of_a_tower():
    assert blocks("0.75-1", 24) == (18, 19, 20, 21, 22, 23)
    assert blocks("0.25-0.5", 2) == (0,)
    assert blocks("0-0.1", 4) == (0,)


@pytest.mark.parametrize(
    "text", ["alpha=2", "tau_cls=0", "tau_clip=-1", "late=1-0.5", "early=middle", "late=0.5-1.5"]
)
def test_parameters_that_mean_nothing_are_refused(text):
    with pytest.raises(UsageError) as caught:
        get_method(f"hero:{text}")
    assert caught.value.hint
