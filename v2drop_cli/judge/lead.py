"""Which of several arms is the fastest, and which could be as well?

The largest median of a dozen arms is no finding: with equal arms chance picks one. So the arm with
the largest speed-up is held against each of the others, paired within rounds as an arm is held
against dense, and those that it is not shown to be faster than are named beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.judge.ruler import Interval, null_interval, ratio_verdict
from v2drop_cli.measure.stats import paired_ratio
from v2drop_cli.records import DUMMY, Comparison, Lead, Report, Stats
from v2drop_cli.records.metrics import Metric, metric
from v2drop_cli.records.verdicts import FASTER


def lead_of(report: Report) -> Lead | None:
    """The fastest of the arms that are faster than dense, if several arms competed.

    Random selection that others are held against does not compete, nor, where any arm gives the
    reference's answer, does an arm that gives another.

    Args:
        report: with a verdict on every comparison.
    """
    arms = [item for item in report.comparisons if item.arm not in report.yardsticks]
    faster = [item for item in arms if item.speed == FASTER]
    right = [item for item in faster if item.answers_identical]
    same_answer = bool(right) and report.request.weights != DUMMY
    field = right if same_answer else faster
    if len(arms) < 2 or not field:
        return None
    row = next(row for row in map(metric, ("generate", "prefill")) if _claimed(field, row))
    ranked = sorted(field, key=lambda item: _size(item, row), reverse=True)
    best = max(_claimed(field, row), key=lambda item: _size(item, row))
    null = null_interval(report, row)
    samples = {arm.label: row.samples(arm) for arm in report.arms}
    tied = [
        item.arm
        for item in ranked
        if item is not best and _is_tied(samples[best.arm], samples[item.arm], null)
    ]
    return Lead(best.arm, row.against or row.name, same_answer, tuple(tied))


def _claimed(field: Sequence[Comparison], row: Metric) -> list[Comparison]:
    """Those that are shown to be faster than the reference in this time."""
    said = [(item, item.verdict(row.against or row.name)) for item in field]
    return [item for item, verdict in said if verdict is not None and verdict.verdict == FASTER]


def _size(item: Comparison, row: Metric) -> float:
    ratio = row.speedup(item)
    return 0.0 if ratio is None else ratio.median


def _is_tied(best: Stats | None, other: Stats | None, null: Interval | None) -> bool:
    """Whether both were timed, and the best one is not shown to be faster than the other."""
    if best is None or other is None:
        return False
    ratio = paired_ratio(other.samples, best.samples)
    return ratio is None or ratio_verdict(ratio, null)[0] != FASTER
