"""VisPruner against its definition, written out once more over lists."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.towers import Row, by_row, kept_by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, batch, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.registry import get_method


def vispruner(picture, k, important=0.5):
    """Which of one picture's tokens stay, sorted; float64."""
    attention = picture.attention[-2].astype(float).mean(0)
    states = picture.features.astype(float)
    unit = [v / np.sqrt(v @ v) for v in states]
    order = sorted(range(len(attention)), key=lambda i: (-attention[i], i))
    first = int(k * important)
    kept, rest = order[:first], order[first:]
    want = k - first
    while want and len(rest) > want:
        even, odd = rest[0::2], rest[1::2]
        alike = {i: max(unit[i] @ unit[j] for j in odd) for i in even}
        ranked = sorted(even, key=lambda i: (-alike[i], even.index(i)))
        rest = ranked[min(8, len(rest) - want, len(even)) :] + odd
    return sorted(kept + (rest if want else []))


def shared(pictures, counts, **more):
    kept, first = [], 0
    for picture, count in zip(pictures, counts, strict=True):
        kept += [first + i for i in vispruner(picture, count, **more)]
        first += len(picture.features)
    return kept


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch(), batch([row(3, 2, 0, 1)])])
@pytest.mark.parametrize("k", [1, 2, 9, 20])
def test_recorded_signals_of_one_image_several_and_ragged_rows(inputs, k):
    _, events, pictures, _ = run("vispruner", inputs, f"0:{k}t")
    for own, kept in zip(
        by_row(pictures, inputs, IMAGE), kept_by_row(events, inputs, IMAGE), strict=True
    ):
        counts = [k - k // 2, k // 2][: len(own)] if len(own) == 2 else [k] * len(own)
        assert kept == shared(own, counts)


@pytest.mark.parametrize("important", [0.0, 0.25, 1.0])
def test_the_share_of_important_ones_and_every_count(important):
    pictures = made_up([37])
    for k in (1, 2, 3, 8, 29, 36):
        got = selected(f"vispruner:important={important}", Row(pictures), k).index.tolist()
        assert sorted(got) == shared(pictures, [k], important=important)


def test_ties_of_attention_go_to_the_earlier_token():
    [picture] = made_up([20])
    picture.attention[-2][:] = 1 / 20
    got = selected("vispruner", Row([picture]), 8).index.tolist()
    assert got[:4] == [0, 1, 2, 3]
    assert sorted(got) == vispruner(picture, 8)


def test_of_duplicates_no_more_stay_than_must():
    """Every token is there twice, next to its twin in attention: one twin of each pair goes."""
    [picture] = made_up([12])
    picture.features[1::2] = picture.features[::2]
    picture.attention[-2][:] = np.arange(12, 0, -1) / 100
    got = selected("vispruner:important=0", Row([picture]), 6).index.tolist()
    assert {i // 2 for i in got} == set(range(6))


def test_newlines_last():
    pictures = made_up([2])
    got = selected("vispruner", Row(pictures, crop=[0, -1, 0, -1], patch=[0] * 4), 3)
    assert sorted(got.index.tolist()) == [0, 1, 2]


def test_what_is_no_share_is_refused():
    with pytest.raises(UsageError, match=r"important=1\.5"):
        get_method("vispruner:important=1.5")
