"""The one place that says whether numbers show something: claims, noise floors, gates.

A ratio is *claimed* only when its whole 95 % interval lies on one side of 1, beyond a margin, and
when it lies beyond the noise floor too. Everything that asks "is it significant?" asks here: an
arm against dense in the same rounds (:func:`ratio_verdict`, for
:mod:`~v2drop_cli.judge.arm_verdicts`), report B against report A (:func:`side`, for
:mod:`~v2drop_cli.judge.change_verdicts`), and the gates of both commands (:func:`gate_outcome`).

The *noise floor* of a quantity is what dense against dense shows of it. Which of the two dense
arms came out faster is chance, so the floor is a band symmetric about 1: a null of 0.9 to 1.02
allows for 0.9 to 1.11.

A gate compares a number with its limit. It is ``undecided`` when the numbers show neither
outcome: the limit lies inside the 95 % interval, or inside the noise floor while the interval
reaches into that floor, or there are too few rounds for an interval (:func:`gate_outcome`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from v2drop_cli.measure.stats import paired_ratio
from v2drop_cli.records import DENSE, Ratio, Report
from v2drop_cli.records.arm import PROCESS_RSS
from v2drop_cli.records.changes import FAILED, HELD, UNDECIDED, UNMEASURED, GateResult
from v2drop_cli.records.metrics import METRICS, Kind, Metric
from v2drop_cli.records.verdicts import (
    FASTER,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    SLOWER,
    UNCLEAR,
    WITHIN_NOISE,
)

Interval = tuple[float, float]

# Half a percent is never claimed: what prints as 1.00 with two decimals, from 0.995 on, is 1.
NEGLIGIBLE = 1 / 0.995 - 1

# The resident set of a process moves by a few per cent with nothing changed: 0.5 to 1 % was seen
# here, and the null is a single reading too, so that it cannot tell by how much.
RSS_FLOOR = 0.05

# A floor further away than this says as much: that nothing can be told.
_MOST = math.log(1e6)


def side(interval: Interval, margin: float, floor: Interval | None = None) -> int:
    """Below everything that means nothing: -1; above it: 1; not all of it on one side: 0.

    Args:
        interval: of a ratio; twice the same number for a single reading.
        margin: ratios that differ from 1 by this share mean nothing.
        floor: ratios that dense against itself reaches too, or ``None`` where that is not known.

    >>> side((1.02, 1.06), 0.005), side((0.9, 0.95), 0.005), side((0.99, 1.2), 0.005)
    (1, -1, 0)
    >>> side((1.02, 1.06), 0.005, floor=(0.97, 1.03))
    0
    """
    low, high = interval
    least, most = floor or (1.0, 1.0)
    if high < min(1 / (1 + margin), least):
        return -1
    return 1 if low > max(1 + margin, most) else 0


def paired_side(ratio: Ratio, floor: Interval | None) -> int:
    """The same for a ratio that is paired within rounds: its median must lie beyond the floor.

    The null ran in the same rounds, so its interval already holds what the arm's could be off by.
    To ask for the whole interval beyond it, as :func:`side` does of two processes, would count
    that twice: simulated at 3 % of noise, it misses 18 of 100 slowdowns of 5 %, and this 3.

    >>> paired_side(Ratio(1.04, (1.02, 1.06)), (0.97, 1.03))
    1
    >>> paired_side(Ratio(1.02, (1.01, 1.03)), (0.97, 1.03)), paired_side(Ratio(1.2), None)
    (0, 0)
    """
    if ratio.ci95 is None:
        return 0
    where = side(ratio.ci95, NEGLIGIBLE)
    return where if where == side((ratio.median, ratio.median), NEGLIGIBLE, floor) else 0


def ratio_verdict(ratio: Ratio, null: Interval | None) -> tuple[str, str | None]:
    """Verdict and reason on a ratio of times, reference over arm: above 1 the arm is faster.

    Args:
        ratio: with its interval.
        null: the interval of dense against dense, or ``None`` where none was measured.

    >>> found = Ratio(1.2, (1.1, 1.3))
    >>> ratio_verdict(found, (0.98, 1.01)), ratio_verdict(found, (1.05, 1.06))
    (('faster', None), ('unclear', 'null_off'))
    >>> ratio_verdict(found, (0.8, 1.01)), ratio_verdict(Ratio(1.2, (0.9, 1.3)), None)
    (('within noise', 'noise_floor'), ('within noise', 'interval_reaches_one'))
    """
    if null is not None and not reaches_one(null):
        return UNCLEAR, NULL_OFF
    where = paired_side(ratio, symmetric([null]) if null else None)
    if where:
        return (FASTER if where > 0 else SLOWER), None
    flat = ratio.ci95 is None or reaches_one(ratio.ci95)
    return WITHIN_NOISE, REACHES_ONE if flat else NOISE_FLOOR


def inside(interval: Interval, margin: float) -> bool:
    """Whether all of ``interval`` differs from 1 by no more than ``margin``."""
    low, high = interval
    return 1 / (1 + margin) <= low and high <= 1 + margin


def reaches_one(interval: Interval) -> bool:
    """Whether the interval holds 1, or comes as close as half a percent.

    >>> reaches_one((1.004, 1.04)), reaches_one((1.006, 1.04)), reaches_one((0.9, 0.994))
    (True, False, False)
    """
    return side(interval, NEGLIGIBLE) == 0


def gate_outcome(
    meets: Callable[[float], bool], limit: float, interval: Interval, floor: Interval | None
) -> str:
    """``failed``, ``held``, or ``undecided`` where the numbers show neither.

    Args:
        meets: whether a value meets the condition under which the gate fails.
        limit: the gate's.
        interval: of the value; twice the same number for an exact one.
        floor: ratios that dense against itself reaches too, or ``None`` for what has no noise.

    >>> gate_outcome(lambda ratio: ratio > 1.05, 1.05, (1.1, 1.2), None)
    'failed'
    >>> gate_outcome(lambda ratio: ratio > 1.05, 1.05, (1.0, 1.1), None)
    'undecided'
    >>> gate_outcome(lambda ratio: ratio > 1.05, 1.05, (0.99, 1.01), (0.68, 1.46))
    'undecided'
    """
    met = [meets(bound) for bound in interval]
    if any(met) and not all(met):
        return UNDECIDED
    if floor is not None and floor[0] < limit < floor[1]:
        low, high = interval
        if low <= floor[1] and high >= floor[0]:
            return UNDECIDED
    return FAILED if all(met) else HELD


def gate_result(text: str, found: Iterable[tuple[str, str]]) -> GateResult:
    """One gate's outcome over all of its arms: the worst, and what the arms with it say.

    Args:
        text: the gate as typed.
        found: per arm its outcome, and what was measured in words.
    """
    arms = list(found)
    for outcome in (FAILED, UNMEASURED, UNDECIDED):
        said = [message for one, message in arms if one == outcome]
        if said:
            return GateResult(text, outcome != UNDECIDED, "; ".join(said), outcome)
    return GateResult(text, False, None, HELD)


def noise_floors(*reports: Report) -> dict[str, Interval]:
    """Per metric that ``compare`` judges the widest null interval, symmetric about 1."""
    nulls = {
        row.name: [null_interval(report, row) for report in reports]
        for row in METRICS
        if row.compared and row.kind is not Kind.COUNTED
    }
    return {
        name: symmetric(known)
        for name, intervals in nulls.items()
        if (known := [interval for interval in intervals if interval])
    }


def symmetric(intervals: Iterable[Interval]) -> Interval:
    """The narrowest band about 1 that holds all of ``intervals``.

    >>> symmetric([(0.9, 1.02)])
    (0.9, 1.1111111111111112)
    """
    reach = max(abs(math.log(bound)) for interval in intervals for bound in interval)
    reach = min(_MOST, reach)
    return math.exp(-reach), math.exp(reach)


def null_interval(report: Report, row: Metric) -> Interval | None:
    """What dense against dense shows of ``row`` inside one report; twice the number if read once.

    A null keeps the ratios that arms have too. Those of other times are made of its samples.
    """
    null = report.null_comparison
    found = None if null is None or row.against is None else row.ratio(null)
    if row.kind is Kind.TIMED and (null is None or row.against is None):
        found = _paired(report, row)
    if isinstance(found, Ratio):
        return _positive(found.ci95)
    read = None if found is None else _positive((found, found))
    return _widened(read) if _is_coarse(report, row) else read


def _is_coarse(report: Report, row: Metric) -> bool:
    """Whether ``row`` is read off the whole process; an allocator counts its bytes."""
    return row.kind is Kind.READ and any(row.source(arm) == PROCESS_RSS for arm in report.arms)


def _widened(read: Interval | None) -> Interval:
    """The null's reading as the floor of a coarse one, which two readings alone would not show."""
    low, high = read or (1.0, 1.0)
    return min(low, 1 / (1 + RSS_FLOOR)), max(high, 1 + RSS_FLOOR)


def _paired(report: Report, row: Metric) -> Ratio | None:
    dense = next((arm for arm in report.arms if arm.label == DENSE), None)
    if report.protocol is None or dense is None:
        return None
    ours = row.samples(dense)
    null = row.samples(replace(dense, timing=report.protocol.null_timing))
    if ours is None or null is None or len(ours.samples) != len(null.samples):
        return None
    return paired_ratio(ours.samples, null.samples)


def _positive(interval: Interval | None) -> Interval | None:
    """``interval``, unless a tampered report made it one that no ratio has."""
    return interval if interval is not None and min(interval) > 0 else None
