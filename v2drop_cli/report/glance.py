"""A report at a glance: one line per arm, and how the samples of its prefill lie.

The picture of the samples is of profiles only, and for terminals only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v2drop_cli.records import DUMMY, ArmResult, Comparison, Report
from v2drop_cli.report import wording
from v2drop_cli.report.claims import SPEEDUPS, claims
from v2drop_cli.report.terms import SPEEDUP
from v2drop_cli.report.text import glued
from v2drop_cli.units import NOT_AVAILABLE, format_seconds

FEWEST_SAMPLES = 5
"""Fewer samples have no shape worth drawing."""

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"


@dataclass(frozen=True, slots=True)
class Spread:
    """The samples of one arm's prefill, in seconds."""

    name: str
    samples: tuple[float, ...]


def columns() -> tuple[str, ...]:
    """What each line tells beside the arm's name."""
    return (*(row.name for row in SPEEDUPS), "KV cache", "answer")


def about() -> tuple[str | None, ...]:
    """The names of the columns' definitions."""
    return (*(SPEEDUP for _ in SPEEDUPS), "kv_cache", "answers_identical")


def reference_values() -> tuple[float | None, ...]:
    """What the reference's line is sorted by: it is as fast, and as large, as itself."""
    return (*(1.0 for _ in SPEEDUPS), 1.0, None)


def arm_values(found: Comparison | None) -> tuple[float | None, ...]:
    """The same of another arm: its speed-ups and its share of the KV cache, as they are shown.

    An answer is sorted as text.
    """
    if found is None:
        return tuple(None for _ in columns())
    ratios = (claim.ratio.median if claim.ratio else None for claim in claims(found))
    return (*ratios, 1 / found.kv_cache_ratio if found.kv_cache_ratio else None, None)


def reference_cells(arm: ArmResult) -> Iterator[wording.Said]:
    """The reference's line: times, and the size of which the other lines have a share."""
    for row in SPEEDUPS:
        stats = row.samples(arm)
        yield glued(format_seconds(stats.median if stats else None)), "plain"
    yield wording.cache(arm, None), "plain"
    yield wording.REFERENCE, "muted"


def arm_cells(report: Report, found: Comparison | None) -> Iterator[wording.Said]:
    """Another arm's line: what its speed-ups show, and its KV cache as a share."""
    if found is None:
        yield from ((NOT_AVAILABLE, "muted") for _ in columns())
        return
    for claim in claims(found):
        yield claim.brief
    yield glued(wording.share(found.kv_cache_ratio)) or NOT_AVAILABLE, "plain"
    if report.request.weights == DUMMY:
        yield NOT_AVAILABLE, "muted"
    else:
        yield ("same", "good") if found.answers_identical else ("differs", "bad")


def spreads(report: Report) -> tuple[Spread, ...]:
    """What can be drawn: nothing, unless every arm has enough samples."""
    if report.protocol is None:
        return ()
    found = [
        Spread(wording.arm_label(arm), stats.samples)
        for arm in report.arms
        if (stats := arm.timing.prefill_s) is not None
    ]
    enough = all(len(spread.samples) >= FEWEST_SAMPLES for spread in found)
    return tuple(found) if enough and len(found) == len(report.arms) else ()


def bars(spread: Spread, bounds: tuple[float, float], width: int, levels: str = BLOCKS) -> str:
    """How many samples lie where between ``bounds``, one character a bin.

    The highest bin of each arm is full; a bin with any sample is never blank.

    >>> bars(Spread("a", (1.0, 1.0, 1.0, 1.5, 2.0)), (1.0, 2.0), 5)
    '█ ▃ ▃'
    """
    low, high = bounds
    counts = [0] * width
    for sample in spread.samples:
        place = (sample - low) / (high - low) if high > low else 0.0
        counts[min(int(place * width), width - 1)] += 1
    most = max(counts)
    steps = len(levels) - 1
    return "".join(levels[-(-count * steps // most)] for count in counts)


def axis(bounds: tuple[float, float], width: int) -> str:
    """Both ends of the common axis, under the bars."""
    low, high = (format_seconds(bound) for bound in bounds)
    return glued(low + high.rjust(width - len(low)))


def range_of(found: Sequence[Spread]) -> tuple[float, float]:
    """Least and most of all samples: nothing lies outside, outliers included."""
    every = [sample for spread in found for sample in spread.samples]
    return min(every), max(every)
