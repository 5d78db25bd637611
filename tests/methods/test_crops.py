"""Counts of a row dealt out to its pictures: all of them, no more than there are, no other."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.methods.crops import (
    best_of_groups,
    by_image,
    evenly,
    in_proportion,
    with_separators,
)

sizes = st.lists(st.integers(0, 20), min_size=1, max_size=6)


@given(sizes, st.integers(0, 150))
def test_even_parts_differ_by_one_at_most_unless_there_is_no_room(rooms, total):
    parts = evenly(total, rooms)
    assert sum(parts) == min(total, sum(rooms))
    assert all(0 <= part <= room for part, room in zip(parts, rooms, strict=True))
    free = [part for part, room in zip(parts, rooms, strict=True) if part < room]
    assert not free or max(parts) - min(free) <= 1
    assert free == sorted(free, reverse=True)


@given(sizes, st.integers(0, 150))
def test_proportional_parts_are_within_one_of_their_share(rooms, total):
    parts = in_proportion(total, rooms)
    whole = sum(rooms)
    assert sum(parts) == min(total, whole)
    for part, room in zip(parts, rooms, strict=True):
        assert 0 <= part <= room
        assert not whole or abs(part - min(total, whole) * room / whole) <= 1


def naive(scores, group, quota, priority, k):
    """Group by group, then one token a round to the groups in the order of priority."""
    waiting = [
        sorted((i for i, g in enumerate(group) if g == here), key=lambda i: (-scores[i], i))
        for here in range(len(quota))
    ]
    kept = [i for tokens, q in zip(waiting, quota, strict=True) for i in tokens[:q]]
    left = [tokens[q:] for tokens, q in zip(waiting, quota, strict=True)]
    while len(kept) < k:
        for g in sorted(range(len(quota)), key=lambda g: (-priority[g], g)):
            if left[g] and len(kept) < k:
                kept.append(left[g].pop(0))
    return sorted(kept)


@given(st.data())
def test_the_best_of_each_group_and_what_is_left_round_after_round(data):
    n, groups = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 5))
    few = st.integers(0, 3)  # so that there are ties
    scores = data.draw(st.lists(few, min_size=n, max_size=n))
    group = data.draw(st.lists(st.integers(0, groups - 1), min_size=n, max_size=n))
    quota = data.draw(st.lists(st.integers(0, 4), min_size=groups, max_size=groups))
    priority = data.draw(st.lists(few, min_size=groups, max_size=groups))
    held = sum(min(q, group.count(g)) for g, q in enumerate(quota))
    k = data.draw(st.integers(min(held, n), n))
    got = best_of_groups(
        torch.tensor(scores).float(),
        torch.tensor(group),
        torch.tensor(quota),
        torch.tensor(priority).float(),
        k,
    )
    assert got.tolist() == naive(scores, group, quota, priority, k)


def test_separators_stay_where_patches_do_not_suffice_the_first_ones_first():
    crops = [torch.tensor([0, 3]), torch.tensor([1, 5])]
    kept = with_separators([crops[0], crops[1]], crops, 8, 6)
    assert kept.tolist() == [0, 3, 1, 5, 2, 4]
    assert with_separators([crops[0]], crops, 8, 2).tolist() == [0, 3]


@given(st.lists(st.integers(0, 5), max_size=5))
def test_pictures_go_to_their_images_in_order(counts):
    crops = [torch.tensor([i]) for i in range(sum(counts))]
    found = by_image(crops, counts)
    assert [len(image) for image in found] == counts
    assert [int(crop) for image in found for crop in image] == list(range(sum(counts)))
