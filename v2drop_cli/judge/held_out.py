"""A schedule that was tuned against the default one: is it better on rows that it never saw?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2drop_cli.judge.paired import Interval, graded_ratio_interval, sign_test
from v2drop_cli.judge.scoreboard import retained, retention_verdict
from v2drop_cli.records.evaluation import BETTER, SAME, UNCLEAR, WORSE
from v2drop_cli.records.tuning import BEYOND, UNSURE, WITHIN, Compared


def by_kl(ours: Sequence[float], theirs: Sequence[float]) -> Compared:
    """Of two arms' KL divergences on the same rows: less is better.

    >>> by_kl([0.1, 0.2] * 30, [0.4, 0.5] * 30).verdict
    'better'
    """
    gained, lost = _sides(ours, theirs)
    total = math.fsum(theirs)
    ratio = math.fsum(ours) / total if total else None
    interval = graded_ratio_interval(ours, theirs)
    verdict = SAME if list(ours) == list(theirs) else _verdict(interval)
    return Compared(ratio, interval, lost, gained, sign_test(gained, lost), verdict)


def by_score(ours: Sequence[float], theirs: Sequence[float]) -> Compared:
    """Of two arms' scores on the same rows: more is better, and the same is what eval calls so.

    >>> by_score([1.0] * 60, [0.0, 1.0] * 30).verdict
    'better'
    """
    gained, lost = _sides(ours, theirs)
    ratio, interval = retained(ours, theirs)
    verdict = UNCLEAR if ratio is None else retention_verdict(interval)
    return Compared(ratio, interval, gained, lost, sign_test(gained, lost), verdict)


def tolerated(loss: Interval | None, limit: float) -> str:
    """Whether a loss of this interval is within ``limit``.

    >>> tolerated((0.0, 0.008), 0.01), tolerated((0.0, 0.03), 0.01), tolerated((0.02, 0.03), 0.01)
    ('within', 'unsure', 'beyond')
    """
    if loss is None:
        return UNSURE
    low, high = loss
    if high <= limit:
        return WITHIN
    return BEYOND if low > limit else UNSURE


def _sides(ours: Sequence[float], theirs: Sequence[float]) -> tuple[int, int]:
    """Rows on which ours is larger, and smaller."""
    pairs = list(zip(ours, theirs, strict=True))
    return sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)


def _verdict(ratio: Interval | None) -> str:
    """What the interval of a ratio of divergences shows.

    >>> _verdict((0.7, 0.9)), _verdict((1.1, 1.4)), _verdict((0.9, 1.0))
    ('better', 'worse', 'unclear')
    """
    if ratio is None or ratio[0] <= 1 <= ratio[1]:
        return UNCLEAR
    return BETTER if ratio[1] < 1 else WORSE
