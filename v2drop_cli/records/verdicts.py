"""The words of a verdict, and why nothing is claimed where nothing is.

``judge`` chooses among these words once; every other room only reads or words them.
"""

from __future__ import annotations

from dataclasses import dataclass

# A claim: of a time, and of anything else (memory, work, tokens).
FASTER, SLOWER = "faster", "slower"
LESS, MORE = "less", "more"
# No difference: an exact count that is equal, or two reports closer than the margin.
SAME = "same"
# No claim: an effect too small to tell from noise; or numbers that cannot carry a claim.
WITHIN_NOISE, UNCLEAR = "within noise", "unclear"

VERDICTS = (FASTER, SLOWER, LESS, MORE, SAME, WITHIN_NOISE, UNCLEAR)

# Reasons. Too few rounds for an interval; enough rounds, but no interval (the file was written
# while rounds were running, or the samples have none).
FEW_ROUNDS, NO_INTERVAL = "few_rounds", "no_interval"
# The interval of a ratio reaches 1; the interval of a difference reaches 0.
REACHES_ONE, REACHES_ZERO = "interval_reaches_one", "interval_reaches_zero"
# The interval reaches into what dense against dense shows too.
NOISE_FLOOR = "noise_floor"
# Dense against dense itself differs: whatever made it differ may have made this as well.
NULL_OFF = "null_off"

REASONS = (FEW_ROUNDS, NO_INTERVAL, REACHES_ONE, REACHES_ZERO, NOISE_FLOOR, NULL_OFF)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the numbers of one quantity show.

    Attributes:
        metric: the field that holds the numbers, ``prefill_speedup`` for example.
        verdict: one of :data:`VERDICTS`.
        reason: one of :data:`REASONS` where nothing is claimed; ``None`` for a claim and for
            ``same``.
    """

    metric: str
    verdict: str
    reason: str | None
