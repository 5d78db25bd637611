"""When enough rounds were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from v2drop_cli.records import FEWEST_FOR_INTERVAL, Ratio
from v2drop_cli.units import Seconds

MANY_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Rounds:
    """How many rounds there were: valid ones, and ones that the machine spoiled."""

    valid: int
    invalid: int = 0

    @property
    def taken(self) -> int:
        """All of them."""
        return self.valid + self.invalid


class Stop(Protocol):
    """Says when to stop taking rounds."""

    @property
    def least(self) -> int:
        """How many rounds there will be at least, if time allows."""

    @property
    def precision(self) -> float | None:
        """Half-width that every prefill ratio's interval must reach; ``None``: nobody looks."""

    def coming(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> int:
        """How many rounds there will be at least; arguments as of :meth:`left_s`."""

    def reason(self, rounds: Rounds, reached: float | None, elapsed_s: Seconds) -> str | None:
        """Why to stop now, or ``None`` to go on; ``reached`` is the precision, where known."""

    def left_s(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> Seconds | None:
        """Seconds left after ``taken`` rounds of ``round_s`` each; ``None`` where unknown."""


@dataclass(frozen=True, slots=True)
class FixedRounds:
    """Stop after a number of rounds."""

    least: int
    precision: None = None

    def coming(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> int:
        """All of them, whatever the time."""
        return self.least

    def reason(self, rounds: Rounds, reached: float | None, elapsed_s: Seconds) -> str | None:
        """Stop as soon as there are enough rounds, valid or not."""
        return "rounds" if rounds.taken >= self.least else None

    def left_s(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> Seconds | None:
        """The rounds to come take as long as those before; before the first, nobody knows."""
        return None if round_s is None else max(0.0, (self.least - taken) * round_s)


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop when the numbers are precise, or when time is over.

    Attributes:
        repeats: rounds to take at least, whatever the time; ``None`` for at least ``MANY_ROUNDS``
            unless time is over before, and then for enough to have intervals.
        precision: then until the half-width of every prefill ratio's interval is at most this
            share of the ratio,
        max_time_s: or until this many seconds of rounds, warm-up included.
    """

    repeats: int | None = None
    precision: float = 0.01
    max_time_s: Seconds = 60.0

    @property
    def least(self) -> int:
        """Rounds below which no precision is believed."""
        return MANY_ROUNDS if self.repeats is None else self.repeats

    @property
    def owed(self) -> int:
        """Rounds to take whatever the time."""
        return FEWEST_FOR_INTERVAL if self.repeats is None else self.repeats

    def coming(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> int:
        """The rounds owed; those wanted, once a round has shown that time allows them."""
        if round_s is None:
            return self.owed
        time_left = max(0.0, self.max_time_s - elapsed_s)
        return self.least if (self.least - taken) * round_s <= time_left else self.owed

    def reason(self, rounds: Rounds, reached: float | None, elapsed_s: Seconds) -> str | None:
        """Why to stop now, or ``None`` to go on. Invalid rounds are no reason to go on for ever."""
        precise = reached is not None and reached <= self.precision
        if rounds.valid >= self.least and precise:
            return "precision"
        over = elapsed_s >= self.max_time_s
        return "time" if over and rounds.taken >= self.owed else None

    def left_s(self, taken: float, round_s: Seconds | None, elapsed_s: Seconds) -> Seconds | None:
        """At most the time that is left, or what the rounds owed take where that is longer."""
        time_left = self.max_time_s - elapsed_s
        owed = self.owed - taken
        if round_s is None:
            return time_left if owed <= 0 or time_left > 0 else None
        return max(0.0, time_left, owed * round_s)


def half_width(ratios: Sequence[Ratio | None]) -> float | None:
    """The widest half-width of the ratios' intervals, as a share; ``None`` if one is unknown.

    >>> half_width([Ratio(2.0, (1.75, 2.25)), Ratio(1.0, (0.99, 1.01))])
    0.125
    """
    shares = [
        None if r is None or r.ci95 is None else (r.ci95[1] - r.ci95[0]) / 2 / r.median
        for r in ratios
    ]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None
