"""Is the arm faster than dense? Every ratio and overhead of one report, judged and stored.

The arms of a report ran in the same rounds, so the ratios are paired and their intervals are
those of the comparison. The null, dense against dense, is judged like any arm. Where it differs
although nothing does, something on the machine made it differ, which may have made the arms
differ too: then that quantity is ``unclear`` for every arm, and a caveat says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from v2drop_cli.judge.lead import lead_of
from v2drop_cli.judge.ruler import (
    NEGLIGIBLE,
    Interval,
    inside,
    null_interval,
    ratio_verdict,
    reaches_one,
    side,
    symmetric,
)
from v2drop_cli.records import (
    FEWEST_FOR_INTERVAL,
    ArmResult,
    Caveat,
    CaveatKind,
    Comparison,
    Overhead,
    Ratio,
    Report,
)
from v2drop_cli.records.metrics import METRICS, Kind, Metric, metric
from v2drop_cli.records.verdicts import (
    FEW_ROUNDS,
    LESS,
    MORE,
    NO_INTERVAL,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ZERO,
    SAME,
    UNCLEAR,
    WITHIN_NOISE,
    Verdict,
)

SCORING = "prefill_s"
"""The field that the verdict of an overhead is about."""

# What a verdict is about: everything that is held against the reference but its work, which is
# what the ideal is made of, and no finding.
_COMPARED = tuple(row for row in METRICS if row.against and row.unit != "flop")
_PREFILL = metric("prefill")


def judged(report: Report) -> Report:
    """``report`` with a verdict on everything that was compared.

    Verdicts and the caveat on the null that it had before are made anew, so that judging twice
    is judging once.
    """
    judge = _Judge(report)
    null, protocol = report.null_comparison, report.protocol
    if protocol is not None:
        overheads = tuple(map(judge.overhead, protocol.scoring_overheads))
        protocol = replace(protocol, scoring_overheads=overheads)
    others = tuple(caveat for caveat in report.warnings if caveat.code != CaveatKind.NULL_OFF.code)
    found = replace(
        report,
        comparisons=tuple(map(judge.arm, report.comparisons)),
        random_comparisons=tuple(map(judge.arm, report.random_comparisons)),
        null_comparison=judge.null(null) if null else None,
        protocol=protocol,
        warnings=(*others, *judge.caveats()),
    )
    return replace(found, lead=lead_of(found))


class _Judge:
    """The floors of one report, and what lies beyond them."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.nulls: dict[str, Interval] = {}
        for row in _COMPARED:
            if (found := null_interval(report, row)) is not None:
                self.nulls[row.name] = found

    def arm(self, found: Comparison) -> Comparison:
        """``found`` with its verdicts: the arm against the reference."""
        arm = next((arm for arm in self.report.arms if arm.label == found.arm), None)
        return replace(found, verdicts=tuple(self._verdicts(found, arm, _COMPARED)))

    def null(self, found: Comparison) -> Comparison:
        """The null with its verdicts: no time of it is claimed, it differs or it does not."""
        arm, protocol = self.report.arms[0], self.report.protocol
        if protocol is not None:
            arm = replace(arm, timing=protocol.null_timing)
        times = [row for row in _COMPARED if row.kind is Kind.TIMED]
        return replace(found, verdicts=tuple(self._verdicts(found, arm, times)))

    def overhead(self, found: Overhead) -> Overhead:
        """``found`` with its verdict: a difference of two prefills, which costs or does not."""
        said: tuple[str, str | None]
        if found.ci95 is None:
            arm = next((arm for arm in self.report.arms if arm.label == found.arm), None)
            said = UNCLEAR, _no_interval(arm, _PREFILL)
        elif self._is_off(_PREFILL):
            said = UNCLEAR, NULL_OFF
        elif found.ci95[0] <= 0 <= found.ci95[1]:
            said = WITHIN_NOISE, REACHES_ZERO
        else:
            said = (MORE if found.prefill_s > 0 else LESS), None
        return replace(found, verdict=Verdict(SCORING, *said))

    def caveats(self) -> Iterator[Caveat]:
        """That dense against itself differs, if it does."""
        off = [row.name for row in _COMPARED if self._is_off(row)]
        if off:
            said = {name: "{:.2f} to {:.2f}".format(*self.nulls[name]) for name in off}
            bounds = (f"{name} {interval}" for name, interval in said.items())
            yield CaveatKind.NULL_OFF.caveat(ratios=", ".join(bounds))

    def _verdicts(
        self, found: Comparison, arm: ArmResult | None, rows: Iterable[Metric]
    ) -> Iterator[Verdict]:
        for row in rows:
            ratio, null = row.ratio(found), self.nulls.get(row.name)
            if ratio is None:
                continue
            if not isinstance(ratio, Ratio):
                said = _count(ratio) if row.kind is Kind.COUNTED else _reading(ratio, null)
            elif ratio.ci95 is None:
                said = UNCLEAR, _no_interval(arm, row)
            else:
                said = ratio_verdict(ratio, null)
            yield Verdict(row.against or row.name, *said)

    def _is_off(self, row: Metric) -> bool:
        """Whether the null of a time leaves 1; a single reading has no interval to leave it."""
        timed = row.kind is Kind.TIMED and row.name in self.nulls
        return timed and not reaches_one(self.nulls[row.name])


def _no_interval(arm: ArmResult | None, row: Metric) -> str:
    """Why there is none: too few rounds, or a draft that has no time for it."""
    stats = row.samples(arm) if arm is not None else None
    few = stats is None or len(stats.samples) < FEWEST_FOR_INTERVAL
    return FEW_ROUNDS if few else NO_INTERVAL


def _reading(ratio: float, null: Interval | None) -> tuple[str, str | None]:
    """Verdict and reason on one reading each, held against that of the null."""
    both = ratio, ratio
    where = side(both, NEGLIGIBLE, symmetric([null]) if null else None)
    if where:
        return (LESS if where > 0 else MORE), None
    return (SAME, None) if inside(both, NEGLIGIBLE) else (WITHIN_NOISE, NOISE_FLOOR)


def _count(ratio: float) -> tuple[str, str | None]:
    """Verdict on what is exact: any difference is one."""
    return (SAME if ratio == 1 else LESS if ratio > 1 else MORE), None
