"""What nothing else beats: no other is as good and cheaper, or as cheap and better."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of ``points``, pairs of a cost and a loss, that no other point beats.

    Of equal points the first one stands for all.

    >>> sorted(front([(3.0, 0.1), (1.0, 0.5), (2.0, 0.6), (1.0, 0.5), (3.0, 0.2)]))
    [0, 1]
    """
    found, best = set[int](), float("inf")
    for place in sorted(range(len(points)), key=lambda at: (*points[at], at)):
        if points[place][1] < best:
            best = points[place][1]
            found.add(place)
    return found
