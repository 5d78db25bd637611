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
from collections.abc import Mapping
from dataclasses import dataclass

from v2drop_cli.judge.ruler import Interval, inside, noise_floors, side
from v2drop_cli.measure.stats import ratio_of_medians
from v2drop_cli.records import ArmResult, Report
from v2drop_cli.records.changes import Change
from v2drop_cli.records.metrics import METRICS, Kind, Metric
from v2drop_cli.records.verdicts import FASTER, LESS, MORE, SAME, SLOWER, UNCLEAR


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
    found = (_JUDGES[row.kind](row, (a, b), ruler) for row in METRICS if row.compared)
    return tuple(change for change in found if (change.a, change.b) != (None, None))


def _timed(row: Metric, arms: tuple[ArmResult, ArmResult], ruler: Ruler) -> Change:
    a, b = map(row.samples, arms)
    ratio = ratio_of_medians(a.samples, b.samples) if a and b else None
    interval = ratio.ci95 if ratio else None
    said = None
    if ratio is not None:
        said = ruler.verdict(row.name, interval, (FASTER, SLOWER)) if interval else UNCLEAR
    return Change(
        metric=row.name,
        unit=row.unit,
        a=a.median if a else None,
        b=b.median if b else None,
        ratio=ratio.median if ratio else None,
        ci95=interval,
        noise=ruler.noise.get(row.name),
        verdict=said,
    )


def _read(row: Metric, arms: tuple[ArmResult, ArmResult], ruler: Ruler) -> Change:
    """One reading each: no interval, but the null's reading says how far two of them part."""
    a, b = map(row.of, arms)
    one, other = map(row.source, arms)
    ratio = _quotient(a, b) if one == other else None
    said = ruler.verdict(row.name, (ratio, ratio), (LESS, MORE)) if ratio else None
    return Change(row.name, row.unit, a, b, ratio, None, ruler.noise.get(row.name), said)


def _counted(row: Metric, arms: tuple[ArmResult, ArmResult], ruler: Ruler) -> Change:
    """A count, the same in every run: any difference is one."""
    a, b = map(row.of, arms)
    said = None
    if a is not None and b is not None:
        said = SAME if a == b else LESS if b < a else MORE
    return Change(row.name, row.unit, a, b, _quotient(a, b), None, None, said)


_JUDGES = {Kind.TIMED: _timed, Kind.READ: _read, Kind.COUNTED: _counted}


def _quotient(a: float | None, b: float | None) -> float | None:
    """B over A; ``None`` where that is no ratio."""
    if not a or b is None or a < 0 or b < 0:
        return None
    quotient = b / a
    return quotient if math.isfinite(quotient) else None
