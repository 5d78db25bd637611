"""How a verdict reads: the ratio, its interval, and the reason where nothing is claimed.

A glance has the ratio alone, with a sign in front where nothing is claimed.
``judge`` has decided; nothing here looks at a number to decide again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from v2drop_cli.records import Comparison, Ratio
from v2drop_cli.records.metrics import METRICS, Kind
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
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.wording import Said, Tone
from v2drop_cli.units import NOT_AVAILABLE, format_ratio

SPEEDUPS = tuple(row for row in METRICS if row.against and row.kind is Kind.TIMED)
"""The times whose ratio to the reference is shown."""

TONES: dict[str | None, Tone] = {
    FASTER: "good",
    LESS: "good",
    SLOWER: "bad",
    MORE: "bad",
    UNCLEAR: "warn",
    WITHIN_NOISE: "muted",
    SAME: "muted",
    None: "muted",
}


class _Words(NamedTuple):
    """What a reason reads like in a cell, and what the legend says of those words."""

    cell: str
    legend: str


SIGNS = {WITHIN_NOISE: "~", UNCLEAR: "?"}
_REASONS = {
    REACHES_ONE: _Words("within noise", f"~{GLUE}within noise: the interval reaches 1"),
    REACHES_ZERO: _Words("within noise", f"~{GLUE}within noise: the interval reaches 0"),
    NOISE_FLOOR: _Words("noise floor", f"~{GLUE}noise floor: dense against itself differs as much"),
    NULL_OFF: _Words(
        "dense unsteady", f"?{GLUE}dense unsteady: dense against itself is not 1 either"
    ),
    FEW_ROUNDS: _Words("too few rounds", f"?{GLUE}too few rounds: below 5 there is no interval"),
    NO_INTERVAL: _Words("no interval", f"?{GLUE}no interval: there is none yet"),
}


class Claim(NamedTuple):
    """One speed-up of one arm, and what the numbers show of it."""

    name: str
    ratio: Ratio | None
    verdict: Verdict | None

    @property
    def brief(self) -> Said:
        """For a glance: ``2.17x``, ``~1.02x`` within noise, ``?1.30x`` unclear, ``n/a``."""
        words = self.verdict.verdict if self.verdict else None
        if self.ratio is None:
            return NOT_AVAILABLE, "muted"
        ratio = format_ratio(self.ratio.median)
        return SIGNS.get(words or "", "") + ratio, TONES.get(words, "plain")

    @property
    def signed(self) -> str:
        """For a table of arms: ``2.17x [2.09, 2.26]``, ``1.02x [0.97, 1.05] ~`` within noise."""
        if self.ratio is None:
            return NOT_AVAILABLE
        span = "" if self.ratio.ci95 is None else interval(self.ratio.ci95)
        sign = SIGNS.get(self.verdict.verdict if self.verdict else "", "")
        return glued(" ".join(filter(None, (format_ratio(self.ratio.median), span, sign))))

    @property
    def said(self) -> Said:
        """The cell: ``2.17x [2.09, 2.26]``, ``1.02x [0.97, 1.05] within noise``, ``n/a``."""
        if self.ratio is None:
            return NOT_AVAILABLE, "muted"
        parts = [format_ratio(self.ratio.median)]
        if self.ratio.ci95 is not None:
            parts.append(interval(self.ratio.ci95))
        if self.verdict is None:
            return " ".join(parts), "muted"
        if self.verdict.verdict == SLOWER:
            parts.append(SLOWER)
        elif self.verdict.reason is not None:
            parts.append(glued(reason_words(self.verdict.reason)))
        return " ".join(parts), TONES.get(self.verdict.verdict, "plain")


def claims(comparison: Comparison) -> tuple[Claim, ...]:
    """The speed-ups of one arm, in the order of the work."""
    return tuple(
        Claim(row.name, row.speedup(comparison), comparison.verdict(row.against or row.name))
        for row in SPEEDUPS
    )


def reason_words(reason: str) -> str:
    """Two or three words; a reason of a later version reads as it is spelled."""
    known = _REASONS.get(reason)
    return known.cell if known else reason.replace("_", " ")


def legend(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """What the signs and reasons mean that occur in these comparisons, each said once."""
    verdicts = [claim.verdict for item in comparisons for claim in claims(item)]
    found = {verdict.reason for verdict in verdicts if verdict is not None}
    return tuple(words.legend for reason, words in _REASONS.items() if reason in found)


def interval(bounds: tuple[float, float]) -> str:
    """``[2.09, 2.26]``, as one word."""
    low, high = (format_ratio(bound).removesuffix("x") for bound in bounds)
    return f"[{low},{GLUE}{high}]"


def noise_floor(null: Comparison) -> str:
    """Say what dense against dense shows through the same machinery."""
    parts = []
    for claim in claims(null):
        known = interval(claim.ratio.ci95) if claim.ratio and claim.ratio.ci95 else NOT_AVAILABLE
        parts.append(f"{claim.name}{GLUE}{known}")
    return f"{clean(null.reference)} against itself: {', '.join(parts)}"
