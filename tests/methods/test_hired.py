"""HiRED against its definition, written out once more over lists."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.towers import Row, by_row, kept_by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, batch, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.registry import get_method


def best(scores, k):
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k])


def tiled(pictures, places, patches, k, alpha=0.5):
    """Per crop, which of its tokens stay.

    Args:
        pictures: the thumbnail, the tiles.
        places: of the thumbnail's tokens, their patches.
        patches: patches of a whole crop.
        k: tokens of the image.
        alpha: the thumbnail's part.
    """
    scores = [p.attention[-2].astype(float).sum(0) for p in pictures]
    first = min(int(k * alpha), len(scores[0]))
    marks = best(pictures[0].attention[0].astype(float).sum(0), int(len(scores[0]) * (1 - alpha)))
    tiles = len(pictures) - 1
    bands = [sum(places[i] * tiles // patches == t for i in marks) for t in range(tiles)]
    counts = [first] + [
        min(int(np.float32(np.float32(band / max(len(marks), 1)) * np.float32(k - first))), len(s))
        for band, s in zip(bands, scores[1:], strict=True)
    ]
    order = [*sorted(range(1, tiles + 1), key=lambda t: (-bands[t - 1], t)), 0]
    while sum(counts) < k:
        for crop in order:
            if counts[crop] < len(scores[crop]) and sum(counts) < k:
                counts[crop] += 1
    return [best(s, n) for s, n in zip(scores, counts, strict=True)]


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch(), batch([row(3, 2, 0, 1)])])
@pytest.mark.parametrize("k", [1, 9, 20])
def test_one_crop_is_a_plain_top_k_of_recorded_signals(inputs, k):
    _, events, pictures, _ = run("hired", inputs, f"0:{k}t")
    for own, kept in zip(
        by_row(pictures, inputs, IMAGE), kept_by_row(events, inputs, IMAGE), strict=True
    ):
        wanted = []
        for i, picture in enumerate(own):
            count = k if len(own) == 1 else [k - k // 2, k // 2][i]
            wanted += [36 * i + j for j in best(picture.attention[-2].sum(0), count)]
        assert kept == wanted


def joined(sizes, seed=0):
    """A thumbnail and tiles of so many tokens; the tiles' come by turns, with newlines between.

    Also, for each crop, the places of its tokens in the row.
    """
    crop = [0] * sizes[0]
    left = list(sizes[1:])
    while any(left):
        for tile, n in enumerate(left):
            take = min(2, n)
            crop += [tile + 1] * take
            left[tile] -= take
        crop.append(-1)
    patch, seen = [], [0] * len(sizes)
    for c in crop:
        patch.append(seen[c] if c >= 0 else 0)
        seen[c] += c >= 0
    own = [[i for i, c in enumerate(crop) if c == t] for t in range(len(sizes))]
    return made_up(sizes, seed), crop, patch, own


@pytest.mark.parametrize("sizes", [[16, 16, 16], [16, 16, 16, 16, 16], [16, 8, 0, 4]])
@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.0, 1.0])
def test_tiles(sizes, alpha):
    pictures, crop, patch, own = joined(sizes, seed=len(sizes))
    places = list(range(16))
    for k in (1, 2, 13, sum(sizes) - 1, sum(sizes)):
        row = Row(pictures, (len(sizes),), crop, patch, 16)
        wanted = tiled(pictures, places, 16, k, alpha)
        got = selected(f"hired:alpha={alpha}", row, k).index.tolist()
        assert sorted(got) == sorted(own[t][i] for t, kept in enumerate(wanted) for i in kept)


def test_the_first_newlines_stay_once_all_patches_do():
    pictures, crop, patch, own = joined([4, 4, 4])
    row = Row(pictures, (3,), crop, patch, 4)
    got = selected("hired", row, 13).index.tolist()
    assert sorted(got) == sorted([*own[0], *own[1], *own[2], crop.index(-1)])


def test_images_share_a_count_in_proportion_to_their_tokens():
    pictures = made_up([30, 10])
    got = sorted(selected("hired", Row(pictures), 21).index.tolist())
    assert sum(i < 30 for i in got) == 16
    assert got[16:] == [30 + i for i in best(pictures[1].attention[-2].sum(0), 5)]


def test_ties_go_to_the_earlier_token():
    [picture] = made_up([10])
    picture.attention[-2][:] = 0.1
    assert selected("hired", Row([picture]), 4).index.tolist() == [0, 1, 2, 3]


def test_what_is_no_share_is_refused():
    with pytest.raises(UsageError, match=r"alpha=-0\.5"):
        get_method("hired:alpha=-0.5")
