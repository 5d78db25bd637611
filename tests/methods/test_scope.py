"""SCOPE against its definition, written out once more over arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.towers import Row, by_row, kept_by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, batch, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.registry import get_method


def scope(picture, k, alpha=1.0):
    """Which of one picture's tokens are taken; float64, one candidate after the other."""
    weight = picture.attention[-2].astype(float).sum(0) ** alpha
    states = picture.features.astype(float)
    unit = states / np.sqrt((states**2).sum(1, keepdims=True))
    cover, taken = np.zeros(len(unit)), []
    for _ in range(k):
        gains = {}
        for j in range(len(unit)):
            if j not in taken:
                gains[j] = weight[j] * np.maximum(0, unit @ unit[j] - cover).sum()
        best = max(gains, key=lambda j: (gains[j], -j))
        taken.append(best)
        cover = np.maximum(cover, unit @ unit[best])
    return sorted(taken)


def shared(pictures, counts, alpha=1.0):
    kept, first = [], 0
    for picture, count in zip(pictures, counts, strict=True):
        kept += [first + i for i in scope(picture, count, alpha)]
        first += len(picture.features)
    return kept


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch(), batch([row(3, 2, 0, 1)])])
@pytest.mark.parametrize("k", [1, 9, 20])
def test_recorded_signals_of_one_image_several_and_ragged_rows(inputs, k):
    _, events, pictures, _ = run("scope", inputs, f"0:{k}t")
    for own, kept in zip(
        by_row(pictures, inputs, IMAGE), kept_by_row(events, inputs, IMAGE), strict=True
    ):
        counts = [k - k // 2, k // 2][: len(own)] if len(own) == 2 else [k] * len(own)
        assert kept == shared(own, counts)


@pytest.mark.parametrize("alpha", [0.25, 2.0])
def test_the_exponent(alpha):
    pictures = made_up([24])
    got = selected(f"scope:alpha={alpha}", Row(pictures), 9).index.tolist()
    assert sorted(got) == shared(pictures, [9], alpha)


def test_a_picture_with_too_few_tokens_leaves_its_part_to_the_others():
    pictures = made_up([9, 2, 8])
    assert sorted(selected("scope", Row(pictures), 10).index.tolist()) == shared(
        pictures, [4, 2, 4]
    )


def test_of_duplicates_the_earlier_one_is_taken_and_the_others_add_nothing():
    [picture] = made_up([12])
    picture.features[6:] = picture.features[:6]
    picture.attention[-2][:] = 1 / 12
    got = selected("scope", Row([picture]), 6).index.tolist()
    assert sorted(got) == [0, 1, 2, 3, 4, 5]


def test_one_of_two_and_newlines_last():
    pictures = made_up([2])
    assert selected("scope", Row(pictures), 1).index.tolist() == shared(pictures, [1])
    got = selected("scope", Row(pictures, crop=[0, -1, 0, -1], patch=[0] * 4), 3)
    assert sorted(got.index.tolist()) == [0, 1, 2]


def test_a_negative_exponent_is_refused():
    with pytest.raises(UsageError, match="alpha=-1"):
        get_method("scope:alpha=-1")
