"""What numbers show, and what they do not: every verdict and every gate is judged here.

Is B faster than A? One quantity of one arm in two reports, judged.

The two reports are two processes at two times, so nothing is paired: the interval is of the
ratio of the medians, each report's rounds resampled on their own. Three zones of that ratio
decide, and the whole interval must lie in one of them:

* inside the margin: ``same``;
* beyond the margin and beyond the noise floor of both reports: ``faster`` or ``slower``
  (``less``, ``more`` for what is not a time);
* anywhere else: ``unclear``.

A gate compares a number with its limit. It is ``undecided`` when the numbers show neither
outcome: the limit lies inside the 95 % interval, or inside the noise floor while the interval
reaches into that floor, or there are too few rounds for an interval (:func:`gate_outcome`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from v2drop_cli.measure.stats import paired_ratio, ratio_of_medians
from v2drop_cli.records import DENSE, ArmResult, Report, Stats, Timing
from v2drop_cli.records.changes import (
    FAILED,
    FASTER,
    HELD,
    LESS,
    MORE,
    SAME,
    SLOWER,
    UNCLEAR,
    UNDECIDED,
    Change,
    GateResult,
)

Interval = tuple[float, float]

DEFAULT_MARGIN = 0.02
"""Two processes on one machine differ by about as much with nothing changed."""

_TIMES: dict[str, Callable[[Timing], Stats | None]] = {
    "vision": lambda timing: timing.vision_s,
    "prefill": lambda timing: timing.prefill_s,
    "first_token": lambda timing: timing.time_to_first_token_s,
    "decode": lambda timing: timing.decode_s_per_token,
    "generate": lambda timing: timing.generate_s,
    "end_to_end": lambda timing: timing.end_to_end_s,
}
_EXACT: dict[str, tuple[str, Callable[[ArmResult], float | None]]] = {
    "kv_cache": ("bytes", lambda arm: arm.memory.kv_cache_bytes),
    "vision_tokens": ("tokens", lambda arm: arm.vision_tokens),
    "layer_average_vision_tokens": ("tokens", lambda arm: arm.layer_average_vision_tokens),
    "prefill_flops": ("flop", lambda arm: arm.limit.prefill_flops if arm.limit else None),
}
PEAK = "peak_memory"
# A floor further away than this says as much: that nothing can be told.
_MOST = math.log(1e6)
METRICS = (*_TIMES, PEAK, *_EXACT)


@dataclass(frozen=True, slots=True)
class Ruler:
    """What a change is held against.

    Attributes:
        margin: share by which two medians may differ and still count as the same.
        noise: per metric the wider of both reports' null intervals, as a band that is
            symmetric about 1; a metric without one is left out.
    """

    margin: float
    noise: Mapping[str, Interval]

    @classmethod
    def of(cls, a: Report, b: Report, margin: float) -> Ruler:
        """Read the noise floors of both reports."""
        return cls(margin, noise_floors(a, b))

    def verdict(self, metric: str, interval: Interval, words: tuple[str, str]) -> str:
        """``same``, ``unclear``, or the word for less or more than A."""
        low, high = interval
        least, most = 1 / (1 + self.margin), 1 + self.margin
        if least <= low and high <= most:
            return SAME
        quiet_low, quiet_high = self.noise.get(metric, (1.0, 1.0))
        if high < min(least, quiet_low):
            return words[0]
        return words[1] if low > max(most, quiet_high) else UNCLEAR


def noise_floors(*reports: Report) -> dict[str, Interval]:
    """Per metric the widest null interval, as a band that is symmetric about 1."""
    nulls = {metric: [_null(r, stage) for r in reports] for metric, stage in _TIMES.items()}
    nulls[PEAK] = [_null_peak(report) for report in reports]
    noise = {}
    for metric, intervals in nulls.items():
        bounds = [bound for interval in intervals if interval for bound in interval]
        if bounds:
            reach = min(_MOST, max(abs(math.log(bound)) for bound in bounds))
            noise[metric] = (math.exp(-reach), math.exp(reach))
    return noise


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
    for outcome in (FAILED, UNDECIDED):
        said = [message for one, message in arms if one == outcome]
        if said:
            return GateResult(text, outcome == FAILED, "; ".join(said), outcome)
    return GateResult(text, False, None, HELD)


def judge(a: ArmResult, b: ArmResult, ruler: Ruler) -> tuple[Change, ...]:
    """All quantities of one arm that at least one report measured."""
    times = [_time(metric, (a.timing, b.timing), ruler) for metric in _TIMES]
    exact = [_exact((a, b), metric) for metric in _EXACT]
    found = [*times, _peak((a, b), ruler), *exact]
    return tuple(change for change in found if (change.a, change.b) != (None, None))


def _time(metric: str, timings: tuple[Timing, Timing], ruler: Ruler) -> Change:
    a, b = map(_TIMES[metric], timings)
    ratio = ratio_of_medians(a.samples, b.samples) if a and b else None
    interval = ratio.ci95 if ratio else None
    said = None
    if ratio is not None:
        said = ruler.verdict(metric, interval, (FASTER, SLOWER)) if interval else UNCLEAR
    return Change(
        metric=metric,
        unit="s",
        a=a.median if a else None,
        b=b.median if b else None,
        ratio=ratio.median if ratio else None,
        ci95=interval,
        noise=ruler.noise.get(metric),
        verdict=said,
    )


def _peak(arms: tuple[ArmResult, ArmResult], ruler: Ruler) -> Change:
    """One reading each: no interval, but the null's reading says how far two of them part."""
    a, b = (arm.memory.peak_bytes for arm in arms)
    alike = arms[0].memory.peak_kind == arms[1].memory.peak_kind
    ratio = _quotient(a, b) if alike else None
    said = ruler.verdict(PEAK, (ratio, ratio), (LESS, MORE)) if ratio else None
    return Change(PEAK, "bytes", a, b, ratio, None, ruler.noise.get(PEAK), said)


def _exact(arms: tuple[ArmResult, ArmResult], metric: str) -> Change:
    """A count, the same in every run: any difference is one."""
    unit, pick = _EXACT[metric]
    a, b = (pick(arm) for arm in arms)
    said = None
    if a is not None and b is not None:
        said = SAME if a == b else LESS if b < a else MORE
    return Change(metric, unit, a, b, _quotient(a, b), None, None, said)


def _null(report: Report, stage: Callable[[Timing], Stats | None]) -> Interval | None:
    """What dense against dense shows for this stage, inside one report."""
    dense = next((arm for arm in report.arms if arm.label == DENSE), None)
    if report.protocol is None or dense is None:
        return None
    ours, null = stage(dense.timing), stage(report.protocol.null_timing)
    if ours is None or null is None or len(ours.samples) != len(null.samples):
        return None
    ratio = paired_ratio(ours.samples, null.samples)
    return _positive(ratio.ci95 if ratio else None)


def _null_peak(report: Report) -> Interval | None:
    ratio = report.null_comparison.peak_memory_ratio if report.null_comparison else None
    return _positive((ratio, ratio) if ratio is not None else None)


def _positive(interval: Interval | None) -> Interval | None:
    """``interval``, unless a tampered report made it one that no ratio has."""
    return interval if interval is not None and min(interval) > 0 else None


def _quotient(a: float | None, b: float | None) -> float | None:
    """B over A; ``None`` where that is no ratio."""
    if not a or b is None or a < 0 or b < 0:
        return None
    quotient = b / a
    return quotient if math.isfinite(quotient) else None
