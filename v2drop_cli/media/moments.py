"""Which frames of a video are shown to the model: even in time, none twice."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_STEADY_SHARE = 0.5
"""Of a frame's time: frames no further than that from an even spacing are evenly spaced."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Frames to take.

    Attributes:
        indices: ascending, each once.
        uneven: moments for which no free frame was left within one part of the time.
    """

    indices: tuple[int, ...]
    uneven: int = 0


def sample_indices(total: int, n: int) -> tuple[int, ...]:
    """Pick the middles of ``n`` equal parts of ``total`` frames; each once where n >= total.

    The middle of each part, not its start: neither the first frame (often black) nor the last
    is favoured, and every part of the video counts the same.

    >>> sample_indices(100, 4), sample_indices(3, 8)
    ((12, 37, 62, 87), (0, 1, 2))
    """
    n = min(n, total)
    return tuple((2 * part + 1) * total // (2 * n) for part in range(n))


def choose(times_s: Sequence[float], last_s: float, n: int) -> Choice:
    """Pick the frames shown in the middle of ``n`` equal parts of the video's time.

    Where frames are evenly spaced this is :func:`sample_indices`, whatever rounding their times
    went through. Elsewhere a frame may be shown for longer than a part; it is still used once,
    and the frames nearest in time to the other moments take the places that are left.

    Args:
        times_s: when each frame appears, ascending.
        last_s: for how long the last one is shown; 0 for unknown.
        n: how many are wanted.

    >>> choose([0, 1, 2, 3], 1, 2).indices, choose([0, 7, 8, 9], 1, 2).indices
    ((1, 3), (0, 1))
    """
    total = len(times_s)
    if n >= total or _steady(times_s):
        return Choice(sample_indices(total, n))
    step = (times_s[-1] - times_s[0]) / (total - 1)
    span = times_s[-1] + (last_s or step) - times_s[0]
    moments = [times_s[0] + (2 * part + 1) * span / (2 * n) for part in range(n)]
    shown = [max(bisect.bisect_right(times_s, moment) - 1, 0) for moment in moments]
    taken, waiting = set[int](), list[float]()
    for moment, index in zip(moments, shown, strict=True):
        if index in taken:
            waiting.append(moment)
        taken.add(index)
    far = [away for away in _place(waiting, taken, times_s) if away > span / n]
    return Choice(tuple(sorted(taken)), len(far))


def _steady(times_s: Sequence[float]) -> bool:
    total = len(times_s)
    if total < 2:
        return True
    step = (times_s[-1] - times_s[0]) / (total - 1)
    return all(
        abs(time - times_s[0] - index * step) <= _STEADY_SHARE * step
        for index, time in enumerate(times_s)
    )


def _place(moments: Sequence[float], taken: set[int], times_s: Sequence[float]) -> Iterator[float]:
    """Give each of ``moments`` the nearest free frame, the earlier of two; yield how far it is."""
    below, above = _Free(-1), _Free(1)
    for index in taken:
        below.close(index)
        above.close(index)
    for moment in moments:
        after = bisect.bisect_right(times_s, moment)
        left, right = below.nearest(after - 1), above.nearest(after)
        early = moment - times_s[left] if left >= 0 else math.inf
        late = times_s[right] - moment if right < len(times_s) else math.inf
        index = left if early <= late else right
        taken.add(index)
        below.close(index)
        above.close(index)
        yield min(early, late)


class _Free:
    """The next free index in one direction, found again in nearly constant time."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.beyond: dict[int, int] = {}  # closed index → where to look on

    def close(self, index: int) -> None:
        self.beyond[index] = index + self.step

    def nearest(self, index: int) -> int:
        passed = []
        while index in self.beyond:
            passed.append(index)
            index = self.beyond[index]
        for each in passed:  # the whole way in one step, next time
            self.beyond[each] = index
        return index
