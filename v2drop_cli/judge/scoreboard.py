"""From rows to the table of an evaluation: scores, what is left of dense's, how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from v2drop_cli.judge.paired import (
    Interval,
    Pairs,
    binary_ratio_interval,
    graded_ratio_interval,
    sign_test,
    wilson,
)
from v2drop_cli.records.evaluation import (
    BETTER,
    SAME,
    UNCLEAR,
    WORSE,
    AgainstDense,
    ArmScores,
    Fidelity,
    Score,
)
from v2drop_cli.records.journal import ArmAnswer, RowResult

MARGIN = 0.02
"""An arm whose whole interval is within this factor of dense's score is as good."""


def filled(arm: ArmScores, reference: str, rows: Sequence[RowResult]) -> ArmScores:
    """``arm`` with all that ``rows``, none of them broken, say of it.

    Args:
        arm: what it is; its numbers are made here.
        reference: label of the dense arm.
        rows: in the order of the data.
    """
    ours = [row.arms[arm.label] for row in rows]
    arm = replace(
        arm,
        score=score_of(None, ours),
        groups=_groups(arm.label, rows),
        vision_tokens=_mean(one.vision_tokens for one in ours),
        layer_average_vision_tokens=_mean(one.layer_average for one in ours),
        answer_tokens=_mean(len(one.tokens) for one in ours),
        prefill_s=statistics.median(one.prefill_s for one in ours),
        decode_s_per_token=_median(one.decode_s_per_token for one in ours),
    )
    theirs = [row.arms[reference] for row in rows]
    arm = replace(arm, fidelity=_fidelity(ours, theirs))
    if arm.label == reference:
        return arm
    return replace(arm, against_dense=against(ours, theirs))


def score_of(group: str | None, answers: Sequence[ArmAnswer]) -> Score | None:
    """The mean score; ``None`` where nothing is scored."""
    known = [one.score for one in answers if one.score is not None]
    if not known or len(known) != len(answers):
        return None
    mean = _mean(known)
    return Score(group, len(known), mean, wilson(mean, len(known)))


def against(ours: Sequence[ArmAnswer], theirs: Sequence[ArmAnswer]) -> AgainstDense:
    """One arm against dense, row by row."""
    speedup = statistics.median(
        b.prefill_s / a.prefill_s if a.prefill_s else 1.0 for a, b in zip(ours, theirs, strict=True)
    )
    a, b = ([one.score for one in side if one.score is not None] for side in (ours, theirs))
    if len(a) != len(ours) or not a:
        return AgainstDense(None, None, 0, 0, None, None, speedup)
    gained = sum(x > y for x, y in zip(a, b, strict=True))
    lost = sum(x < y for x, y in zip(a, b, strict=True))
    retention, interval = retained(a, b)
    verdict = None if retention is None else retention_verdict(interval)
    p = sign_test(gained, lost)
    return AgainstDense(retention, interval, gained, lost, p, verdict, speedup)


def retained(
    ours: Sequence[float], theirs: Sequence[float]
) -> tuple[float | None, Interval | None]:
    """The arm's mean over dense's, and its interval: of right and wrong another than of grades."""
    total = math.fsum(theirs)
    if not total:
        return None, None
    if all(score in (0.0, 1.0) for score in (*ours, *theirs)):
        counts = [(int(a), int(b)) for a, b in zip(ours, theirs, strict=True)]
        pairs = Pairs(counts.count((1, 1)), counts.count((1, 0)), counts.count((0, 1)))
        return pairs.ratio, binary_ratio_interval(pairs)
    return math.fsum(ours) / total, graded_ratio_interval(ours, theirs)


def retention_verdict(interval: Interval | None) -> str:
    """What the interval of the retention shows.

    >>> intervals = [(0.8, 0.97), (0.99, 1.01), (0.9, 1.1), (1.1, 1.2)]
    >>> [retention_verdict(interval) for interval in intervals]
    ['worse', 'same', 'unclear', 'better']
    """
    if interval is None:
        return UNCLEAR
    low, high = interval
    if low >= 1 / (1 + MARGIN) and high <= 1 + MARGIN:
        return SAME
    if high < 1:
        return WORSE
    return BETTER if low > 1 else UNCLEAR


def _groups(label: str, rows: Sequence[RowResult]) -> tuple[Score, ...]:
    by_name: dict[str, list[ArmAnswer]] = {}
    for row in rows:
        if row.group is not None:
            by_name.setdefault(row.group, []).append(row.arms[label])
    found = (score_of(name, by_name[name]) for name in sorted(by_name))
    return tuple(one for one in found if one is not None)


def _fidelity(ours: Sequence[ArmAnswer], theirs: Sequence[ArmAnswer]) -> Fidelity | None:
    looked = [one for one in ours if one.kl is not None]
    if not looked:
        return None
    kls = [one.kl for one in looked if one.kl is not None]
    places = [one.first_divergence for one in looked if one.first_divergence is not None]
    return Fidelity(
        rows=len(looked),
        kl=_mean(kls),
        kl_most=max(kls),
        agreement=_mean(one.agreement for one in looked if one.agreement is not None),
        diverged=len(places),
        first_divergence=statistics.median(places) if places else None,
        equal=sum(a.tokens == b.tokens for a, b in zip(ours, theirs, strict=True)),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def _median(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return statistics.median(known) if known else None
