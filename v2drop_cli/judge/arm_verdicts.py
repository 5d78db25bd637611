"""Is the arm faster than dense? Every ratio and overhead of one report, judged and stored.

The arms of a report ran in the same rounds, so the ratios are paired and their intervals are
those of the comparison. The null, dense against dense, is judged like any arm. Where it differs
although nothing does, something on the machine made it differ, which may have made the arms
differ too: then that quantity is ``unclear`` for every arm, and a caveat says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from v2drop_cli.judge.ruler import (
    NEGLIGIBLE,
    PEAK,
    TIMES,
    Interval,
    inside,
    null_interval,
    reaches_one,
    side,
    symmetric,
)
from v2drop_cli.records import (
    FEWEST_FOR_INTERVAL,
    Caveat,
    Comparison,
    Overhead,
    Ratio,
    Report,
    Stats,
    Timing,
)
from v2drop_cli.records.verdicts import (
    FASTER,
    FEW_ROUNDS,
    LESS,
    MORE,
    NO_INTERVAL,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    REACHES_ZERO,
    SAME,
    SLOWER,
    UNCLEAR,
    WITHIN_NOISE,
    Verdict,
)

SCORING = "prefill_s"
"""The field that the verdict of an overhead is about."""

_SPEEDUPS: dict[str, tuple[str, Callable[[Comparison], Ratio | None]]] = {
    "prefill_speedup": ("prefill", lambda found: found.prefill_speedup),
    "decode_speedup": ("decode", lambda found: found.decode_speedup),
    "generate_speedup": ("generate", lambda found: found.generate_speedup),
}


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
    others = tuple(caveat for caveat in report.warnings if caveat.code != NULL_OFF)
    return replace(
        report,
        comparisons=tuple(map(judge.arm, report.comparisons)),
        null_comparison=judge.null(null) if null else None,
        protocol=protocol,
        warnings=(*others, *judge.caveats()),
    )


class _Judge:
    """The floors of one report, and what lies beyond them."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.nulls: dict[str, Interval] = {}
        for metric in (*(time for time, _ in _SPEEDUPS.values()), PEAK):
            if (found := null_interval(report, metric)) is not None:
                self.nulls[metric] = found

    def arm(self, found: Comparison) -> Comparison:
        """``found`` with its verdicts: the arm against the reference."""
        peak = self.nulls.get(PEAK)
        verdicts = [*self._speedups(found), *_sizes(found, symmetric([peak]) if peak else None)]
        return replace(found, verdicts=tuple(verdicts))

    def null(self, found: Comparison) -> Comparison:
        """The null with its verdicts: it claims nothing, it differs or it does not."""
        return replace(found, verdicts=tuple(self._speedups(found, is_null=True)))

    def overhead(self, found: Overhead) -> Overhead:
        """``found`` with its verdict: a difference of two prefills, which costs or does not."""
        said: tuple[str, str | None]
        if found.ci95 is None:
            said = UNCLEAR, self._no_interval(found.arm, TIMES["prefill"])
        elif self._is_off("prefill"):
            said = UNCLEAR, NULL_OFF
        elif found.ci95[0] <= 0 <= found.ci95[1]:
            said = WITHIN_NOISE, REACHES_ZERO
        else:
            said = (MORE if found.prefill_s > 0 else LESS), None
        return replace(found, verdict=Verdict(SCORING, *said))

    def caveats(self) -> Iterator[Caveat]:
        """That dense against itself differs, if it does."""
        off = [metric for metric, _ in _SPEEDUPS.values() if self._is_off(metric)]
        if off:
            bounds = (f"{m} {self.nulls[m][0]:.2f} to {self.nulls[m][1]:.2f}" for m in off)
            message = (
                f"dense against itself differs ({', '.join(bounds)}): nothing is claimed there"
            )
            yield Caveat(NULL_OFF, message)

    def _speedups(self, found: Comparison, is_null: bool = False) -> Iterator[Verdict]:
        for name, (metric, pick) in _SPEEDUPS.items():
            ratio = pick(found)
            if ratio is None:
                continue
            if ratio.ci95 is None:
                label = None if is_null else found.arm
                yield Verdict(name, UNCLEAR, self._no_interval(label, TIMES[metric]))
            else:
                yield Verdict(name, *ratio_verdict(ratio.ci95, self.nulls.get(metric)))

    def _is_off(self, metric: str) -> bool:
        return metric in self.nulls and not reaches_one(self.nulls[metric])

    def _no_interval(self, label: str | None, stage: Callable[[Timing], Stats | None]) -> str:
        """Why there is none: too few rounds, or a draft that has no time for it."""
        timing = next((arm.timing for arm in self.report.arms if arm.label == label), None)
        if label is None and self.report.protocol is not None:
            timing = self.report.protocol.null_timing
        stats = stage(timing) if timing is not None else None
        few = stats is None or len(stats.samples) < FEWEST_FOR_INTERVAL
        return FEW_ROUNDS if few else NO_INTERVAL


def ratio_verdict(interval: Interval, null: Interval | None) -> tuple[str, str | None]:
    """Verdict and reason on a ratio of times, reference over arm: above 1 the arm is faster.

    Args:
        interval: of the ratio.
        null: of dense against dense, or ``None`` where none was measured.

    >>> ratio_verdict((1.2, 1.3), (0.98, 1.01)), ratio_verdict((1.2, 1.3), (1.05, 1.06))
    (('faster', None), ('unclear', 'null_off'))
    >>> ratio_verdict((1.02, 1.3), (0.97, 1.01)), ratio_verdict((0.9, 1.3), None)
    (('within noise', 'noise_floor'), ('within noise', 'interval_reaches_one'))
    """
    if null is not None and not reaches_one(null):
        return UNCLEAR, NULL_OFF
    where = side(interval, NEGLIGIBLE, symmetric([null]) if null else None)
    if where:
        return (FASTER if where > 0 else SLOWER), None
    return WITHIN_NOISE, REACHES_ONE if reaches_one(interval) else NOISE_FLOOR


def _sizes(found: Comparison, floor: Interval | None) -> Iterator[Verdict]:
    """The peak is one reading, held against the null's; the cache is counted: exact."""
    peak, cache = found.peak_memory_ratio, found.kv_cache_ratio
    if peak is not None:
        where = side((peak, peak), NEGLIGIBLE, floor)
        said: tuple[str, str | None] = {1: (LESS, None), -1: (MORE, None)}.get(
            where,
            (SAME, None) if inside((peak, peak), NEGLIGIBLE) else (WITHIN_NOISE, NOISE_FLOOR),
        )
        yield Verdict("peak_memory_ratio", *said)
    if cache is not None:
        yield Verdict("kv_cache_ratio", SAME if cache == 1 else LESS if cache > 1 else MORE, None)
