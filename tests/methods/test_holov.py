"""HoloV against its definition, written out once more over arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.towers import Row, by_row, kept_by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, batch, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.registry import get_method


def cut(count, runs):
    """The tokens of each run; the first ones have one more."""
    return [part.tolist() for part in np.array_split(np.arange(count), runs) if len(part)]


def holov(pictures, k, runs=16, beta=0.09):
    """Which of the tokens of all pictures stay; float64."""
    attention = np.concatenate([p.attention[-2].mean(0) for p in pictures]).astype(float)
    states = np.concatenate([p.projected for p in pictures]).astype(float)
    parts, shares = cut(len(attention), runs), []
    for part in parts:
        unit = [states[i] / (np.sqrt((states[i] ** 2).sum()) + 1e-6) for i in part]
        others = max(len(part) - 1, 1)
        spread = []
        for i in range(len(part)):
            cosines = [0.0 if i == j else float(unit[i] @ unit[j]) for j in range(len(part))]
            mean = sum(cosines) / others
            spread.append(sum((c - mean) ** 2 for c in cosines) / others)
        scaled = [1000 * attention[i] for i in part]
        factor = np.mean(scaled) / (np.mean(spread) + 1e-6)
        shares.append(np.mean([a + beta * v * factor for a, v in zip(scaled, spread, strict=True)]))
    total = sum(shares) + 1e-6
    counts = [int(share / total * k) for share in shares]
    kept = []
    ranked = [sorted(part, key=lambda i: (-attention[i], i)) for part in parts]
    for tokens, count in zip(ranked, counts, strict=True):
        kept += tokens[:count]
    left = [tokens[count:] for tokens, count in zip(ranked, counts, strict=True)]
    while len(kept) < k:  # one a round, largest share first
        for i in sorted(range(len(parts)), key=lambda i: (-shares[i], i)):
            if left[i] and len(kept) < k:
                kept.append(left[i].pop(0))
    return sorted(kept)


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch(), batch([row(3, 2, 0, 1)])])
@pytest.mark.parametrize("k", [1, 9, 20])
def test_recorded_signals_of_one_image_several_and_ragged_rows(inputs, k):
    _, events, pictures, _ = run("holov", inputs, f"0:{k}t")
    for own, kept in zip(
        by_row(pictures, inputs, IMAGE), kept_by_row(events, inputs, IMAGE), strict=True
    ):
        assert kept == (holov(own, k) if own else [])


@pytest.mark.parametrize("sizes", [[33], [16], [7], [17, 6], [40, 3, 2]])
@pytest.mark.parametrize("text", ["holov", "holov:runs=3,beta=2", "holov:runs=1"])
def test_uneven_runs_and_every_count(sizes, text):
    pictures = made_up(sizes, seed=len(sizes))
    method = get_method(text)
    for k in {1, 2, sum(sizes) // 2, sum(sizes) - 1}:
        got = selected(text, Row(pictures), k).index.tolist()
        assert got == holov(pictures, k, method.runs, method.beta)


def test_a_run_that_is_given_more_than_it_has_passes_it_on():
    [picture] = made_up([32])
    picture.attention[-2][:, :2] += 100
    got = selected("holov", Row([picture]), 20).index.tolist()
    assert got == holov([picture], 20)
    assert len(got) == 20


def test_ties_and_duplicates_go_to_the_earlier_token():
    [picture] = made_up([32])
    picture.attention[-2][:] = 1 / 32
    picture.projected[:] = picture.projected[0]
    assert selected("holov", Row([picture]), 16).index.tolist() == list(range(0, 32, 2))


def test_newlines_stay_only_where_there_are_no_more_patches():
    pictures = made_up([4, 6])
    crop = [0, 0, 0, 0, 1, 1, 1, -1, 1, 1, 1, -1]
    patches = [i for i, c in enumerate(crop) if c >= 0]
    got = selected("holov", Row(pictures, (2,), crop, [0] * 12, 6), 7).index.tolist()
    assert got == [patches[i] for i in holov(pictures, 7)]
    assert selected("holov", Row(pictures, (2,), crop, [0] * 12, 6), 11).index.tolist() == [
        i for i in range(12) if i != 11
    ]


def test_no_runs_are_refused():
    with pytest.raises(UsageError, match="runs=0"):
        get_method("holov:runs=0")
