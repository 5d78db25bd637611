"""A profile at a glance: one line per arm, and how the samples of its prefill lie.

The lines stand in for the speed-up rows of the large table; the picture is for terminals only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v2drop_cli.records import ArmResult, Comparison, Report
from v2drop_cli.report import wording
from v2drop_cli.report.text import glued
from v2drop_cli.units import format_seconds

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
    return (*(row.name for row in wording.SPEEDUPS), "KV cache", "answer")


def cells(arm: ArmResult, found: Comparison | None) -> Iterator[wording.Said]:
    """One arm's line: times and sizes of the reference, ratios of the others."""
    for row in wording.SPEEDUPS:
        if found is None:
            yield wording.time(row.samples(arm)), "plain"
        else:
            yield wording.speedup(row.speedup(found), found.verdict(row.against or row.name))
    saved = wording.saving(found.kv_cache_ratio) if found else None
    yield saved or wording.cache(arm, None), "plain"
    if found is None:
        yield wording.REFERENCE, "muted"
    else:
        same = found.answers_identical
        yield ("same", "good") if same else ("differs", "bad")


def spreads(report: Report) -> tuple[Spread, ...]:
    """What can be drawn: nothing, unless every arm has enough samples."""
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
        share = (sample - low) / (high - low) if high > low else 0.0
        counts[min(int(share * width), width - 1)] += 1
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
