"""Sharing a row's tokens out among its pictures, and among parts of a picture.

The authors of the methods that act before the decoder prune each picture by itself: an image, or
each crop of an image that is cut into tiles. A schedule counts the tokens of a whole row, so these
counts must add up exactly to what it says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from v2drop_cli.tensors import true_columns


def evenly(total: int, rooms: Sequence[int]) -> list[int]:
    """``total`` in parts as equal as ``rooms`` allow; the first parts are larger by one.

    >>> evenly(8, [2, 9, 9])
    [2, 3, 3]
    >>> evenly(8, [9, 9, 9])
    [3, 3, 2]
    """
    total = left = min(total, sum(rooms))
    level = 0
    for i, room in enumerate(sorted(rooms)):  # small ones are filled, and leave more to the others
        level = left // (len(rooms) - i)
        if room > level:
            break
        left -= room
    parts = [min(room, level) for room in rooms]
    left = total - sum(parts)
    for i, room in enumerate(rooms):
        if left and room > level:
            parts[i], left = level + 1, left - 1
    return parts


def in_proportion(total: int, sizes: Sequence[int]) -> list[int]:
    """``total`` in parts as the sizes are, rounded down; the first parts get what is left.

    >>> in_proportion(10, [30, 30, 20])
    [4, 4, 2]
    """
    whole = sum(sizes)
    total = min(total, whole)
    parts = [total * size // max(whole, 1) for size in sizes]
    left = total - sum(parts)
    for i, size in enumerate(sizes):
        more = min(left, size - parts[i], 1)
        parts[i] += more
        left -= more
    return parts


def by_image(crops: Sequence[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    """The pictures of a row, image by image: one each, or a thumbnail and its tiles.

    Args:
        crops: all tokens of each picture.
        counts: how many pictures each image was encoded as.
    """
    waiting = iter(crops)
    return [list(itertools.islice(waiting, count)) for count in counts]


def with_separators(kept: Sequence[Tensor], crops: Sequence[Tensor], n: int, k: int) -> Tensor:
    """``[k]`` long: what was kept of the pictures, filled up with separators.

    Authors leave separators out, which stand for no patch. So they stay only where there are not
    enough patches, the first ones first.

    Args:
        kept: indices of kept tokens.
        crops: all tokens of each picture, as :meth:`TowerSignals.by_crop` gives them.
        n: the row's tokens, separators included.
        k: how many stay.
    """
    missing = k - sum(len(index) for index in kept)
    if not missing:
        return torch.cat(list(kept))
    separators = torch.ones(n, dtype=torch.bool, device=crops[0].device)
    for index in crops:
        separators.index_fill_(0, index, False)
    return torch.cat([*kept, true_columns(separators, missing)])


def of_each(
    crops: Sequence[Tensor], n: int, k: int, pick: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """``[k]`` long: as many tokens of each picture, as far as it has them.

    Args:
        crops: all tokens of each picture.
        n: the row's tokens, separators included.
        k: how many stay.
        pick: (the tokens of a picture, how many stay, at least 1 and fewer than it has) → which.
    """
    kept = []
    for index, count in zip(crops, evenly(k, [len(index) for index in crops]), strict=True):
        if count == len(index):
            kept.append(index)
        elif count:
            kept.append(index[pick(index, count)])
    return with_separators(kept, crops, n, k)


def best_of_groups(
    scores: Tensor, group: Tensor, quota: Tensor, priority: Tensor, k: int
) -> Tensor:
    """``[k]`` long, ascending: of each group the best by score, as many as its quota says.

    What quotas leave over, because they were rounded down or a group is too small, goes to the
    groups in the order of their priority, one token each, round after round. Ties go to the
    earlier token, and to the earlier group. Nothing here waits for the device.

    Args:
        scores: ``[n]`` float.
        group: ``[n]`` long, from 0.
        quota: ``[g]`` long; they add up to ``k`` at most.
        priority: ``[g]`` float.
        k: how many stay.

    >>> best_of_groups(
    ...     torch.tensor([3.0, 1.0, 2.0, 5.0]), torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1]),
    ...     torch.tensor([0.9, 0.1]), 3,
    ... ).tolist()
    [0, 2, 3]
    """
    groups = len(quota)
    by_score = torch.argsort(scores, descending=True, stable=True)
    order = by_score[torch.argsort(group[by_score], stable=True)]  # group by group, best first
    sizes = torch.zeros_like(quota).scatter_add_(0, group, torch.ones_like(group))
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - starts[group[order]]
    place = torch.empty_like(quota)
    by_priority = torch.argsort(priority, descending=True, stable=True)
    place[by_priority] = torch.arange(groups, device=group.device)
    rounds = (rank - quota[group] + 1).clamp(min=0)
    found = torch.argsort(rounds * groups + place[group], stable=True)[:k]
    return found.sort().values
