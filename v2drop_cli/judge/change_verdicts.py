"""Is B faster than A? Each quantity of one arm in two reports, judged.

The two reports are two processes at two times, so nothing is paired: the interval is of the
ratio of the medians, each report's rounds resampled on their own. Three zones of that ratio
decide, and the whole interval must lie in one of them:

* inside the margin: ``same``;
* beyond the margin and beyond the noise floor of both reports: ``faster`` or ``slower``
  (``less``, ``more`` for what is not a time);
* anywhere else: ``unclear``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from v2drop_cli.judge.ruler import PEAK, TIMES, Interval, inside, noise_floors, side
from v2drop_cli.measure.stats import ratio_of_medians
from v2drop_cli.records import ArmResult, Report, Timing
from v2drop_cli.records.changes import Change
from v2drop_cli.records.verdicts import FASTER, LESS, MORE, SAME, SLOWER, UNCLEAR

_EXACT: dict[str, tuple[str, Callable[[ArmResult], float | None]]] = {
    "kv_cache": ("bytes", lambda arm: arm.memory.kv_cache_bytes),
    "vision_tokens": ("tokens", lambda arm: arm.vision_tokens),
    "layer_average_vision_tokens": ("tokens", lambda arm: arm.layer_average_vision_tokens),
    "prefill_flops": ("flop", lambda arm: arm.limit.prefill_flops if arm.limit else None),
}
METRICS = (*TIMES, PEAK, *_EXACT)


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
        if inside(interval, self.margin):
            return SAME
        where = side(interval, self.margin, self.noise.get(metric))
        return {-1: words[0], 1: words[1]}.get(where, UNCLEAR)


def judge(a: ArmResult, b: ArmResult, ruler: Ruler) -> tuple[Change, ...]:
    """All quantities of one arm that at least one report measured."""
    times = [_time(metric, (a.timing, b.timing), ruler) for metric in TIMES]
    exact = [_exact((a, b), metric) for metric in _EXACT]
    found = [*times, _peak((a, b), ruler), *exact]
    return tuple(change for change in found if (change.a, change.b) != (None, None))


def _time(metric: str, timings: tuple[Timing, Timing], ruler: Ruler) -> Change:
    a, b = map(TIMES[metric], timings)
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


def _quotient(a: float | None, b: float | None) -> float | None:
    """B over A; ``None`` where that is no ratio."""
    if not a or b is None or a < 0 or b < 0:
        return None
    quotient = b / a
    return quotient if math.isfinite(quotient) else None
