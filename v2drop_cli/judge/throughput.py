"""Requests a second of each arm at its own best batch size: what a server could promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from v2drop_cli.judge.ruler import NEGLIGIBLE, side
from v2drop_cli.measure.stats import ratio_of_medians
from v2drop_cli.records import FEWEST_FOR_INTERVAL, Ratio, Verdict
from v2drop_cli.records.curves import Best, Curve, Point
from v2drop_cli.records.verdicts import (
    FEW_ROUNDS,
    LESS,
    MORE,
    NO_INTERVAL,
    REACHES_ONE,
    UNCLEAR,
    WITHIN_NOISE,
)

METRIC = "requests_per_s"


def throughput(curves: Sequence[Curve]) -> tuple[Best, ...]:
    """The best size of every arm that was timed, the first arm's gain apart.

    Arms may be best at different sizes, which ran at different times: a gain is a ratio of two
    independent sets of rounds, and no null says by how much such a ratio is off.
    """
    return tuple(_bests(curves))


def _bests(curves: Sequence[Curve]) -> Iterator[Best]:
    reference = _best(curves[0]) if curves else None
    for curve in curves:
        point = _best(curve)
        if point is None or point.requests_per_s is None:
            continue
        found = Best(curve.label, point.size, point.requests_per_s)
        if curve is not curves[0] and reference is not None:
            gain = _gain(reference, point)
            rounds = min(reference.rounds, point.rounds)
            verdict = None if gain is None else _verdict(gain, rounds)
            found = replace(found, gain=gain, verdict=verdict)
        yield found


def _best(curve: Curve) -> Point | None:
    timed = [point for point in curve.measured if point.requests_per_s is not None]
    return max(timed, key=lambda point: point.requests_per_s or 0.0, default=None)


def _gain(reference: Point, point: Point) -> Ratio | None:
    """Requests a second of the arm over the reference's."""
    if reference.wall_s is None or point.wall_s is None:
        return None
    faster = ratio_of_medians(point.wall_s.samples, reference.wall_s.samples)
    return None if faster is None else faster.scaled(point.rows / reference.rows)


def _verdict(gain: Ratio, rounds: int) -> Verdict:
    """What may be claimed; ``rounds`` are those of the side that has fewer."""
    if gain.ci95 is None:
        few = rounds < FEWEST_FOR_INTERVAL
        return Verdict(METRIC, UNCLEAR, FEW_ROUNDS if few else NO_INTERVAL)
    where = side(gain.ci95, NEGLIGIBLE)
    if not where:
        return Verdict(METRIC, WITHIN_NOISE, REACHES_ONE)
    return Verdict(METRIC, MORE if where > 0 else LESS, None)
