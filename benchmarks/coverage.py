"""How often the statistics are wrong, by simulation: known noise, known effect, no model.

    python -m benchmarks.coverage

Two questions, on made-up trials in the orders that ``profile`` uses, through its own interval,
stop rule and verdict. How often does the 95 % interval of a paired ratio miss the truth, for a
fixed number of rounds? And how often is a whole profile, which looks again and again and stops
when precise, wrong: claims an effect of dense against dense, or misses a slowdown of 5 %?
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from v2drop_cli.bench.rounds import LOOK_EVERY
from v2drop_cli.bench.stopping import Rounds, StopRule
from v2drop_cli.judge.ruler import ratio_verdict
from v2drop_cli.measure.stats import median_interval, paired_ratio
from v2drop_cli.measure.trials import schedule_rounds
from v2drop_cli.records import Ratio
from v2drop_cli.records.verdicts import FASTER, SLOWER

OUTPUT = RESULTS / "coverage.json"
SLOWDOWN = 0.05
ROUNDS = (3, 5, 10, 20, 40)
DENSE, NULL, ARM = range(3)

Noise = Callable[[random.Random], Iterator[float]]
"""Endless factors on the true time, one a trial, in the order of the trials."""


def normal(sigma: float) -> Noise:
    """Independent, log-normal."""

    def draw(rng: random.Random) -> Iterator[float]:
        while True:
            yield math.exp(rng.gauss(0.0, sigma))

    return draw


def heavy(sigma: float) -> Noise:
    """Independent, with the tails of Student's t at 2.5 degrees of freedom."""

    def draw(rng: random.Random) -> Iterator[float]:
        while True:
            yield math.exp(sigma * rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.25, 2) / 2.5))

    return draw


def drifting(sigma: float, memory: float = 0.9) -> Noise:
    """A drift that each trial inherits from the one before, and noise of its own."""

    def draw(rng: random.Random) -> Iterator[float]:
        drift = 0.0
        while True:
            drift = memory * drift + rng.gauss(0, sigma)
            yield math.exp(drift + rng.gauss(0, sigma / 2))

    return draw


def bursts(sigma: float, slower: float = 0.3) -> Noise:
    """Now and then some trials in a row are slower: another process wants the machine."""

    def draw(rng: random.Random) -> Iterator[float]:
        busy = False
        while True:
            busy ^= rng.random() < (0.15 if busy else 0.05)
            yield (1 + slower * busy) * math.exp(rng.gauss(0, sigma))

    return draw


NOISES: dict[str, Noise] = {
    "normal, 1 %": normal(0.01),
    "normal, 3 %": normal(0.03),
    "heavy tails, 1 %": heavy(0.01),
    "drifting, 1 %": drifting(0.01),
    "bursts of 30 %": bursts(0.01),
}


def trials(noise: Noise, rounds: int, slowdown: float, seed: int) -> list[list[float]]:
    """Times of dense, null and arm: one list each, the same place the same round."""
    factors = noise(random.Random(seed))
    times = [[0.0] * rounds for _ in (DENSE, NULL, ARM)]
    for number, order in enumerate(schedule_rounds(3, rounds, seed)):
        for arm in order:
            times[arm][number] = next(factors) * (1 + slowdown * (arm == ARM))
    return times


def misses(noise: Noise, rounds: int, count: int) -> float:
    """Share of ``count`` 95 % intervals of a ratio of equals that leave 1 out."""
    missed = 0
    for seed in range(count):
        times = trials(noise, rounds, 0.0, seed)
        ratios = [dense / arm for dense, arm in zip(times[DENSE], times[ARM], strict=True)]
        interval = median_interval(ratios, fewest=min(ROUNDS))  # fewer than ``profile`` trusts
        assert interval is not None
        missed += not interval[0] <= 1 <= interval[1]
    return missed / count


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated profile: when it ended, and its verdict on the arm."""

    rounds: int
    verdict: str


def simulate(noise: Noise, slowdown: float, seed: int, most: int = 40) -> Outcome:
    """One profile that has time for ``most`` rounds."""
    times, rule = trials(noise, most, slowdown, seed), StopRule()
    taken = rule.least
    while True:
        arm = _ratio(times, ARM, taken)
        # The null's interval takes time, and cannot end what the arm's does not.
        if _half_width(arm) <= rule.precision or taken == most:
            null = _ratio(times, NULL, taken)
            widest = max(_half_width(arm), _half_width(null))
            elapsed = rule.max_time_s if taken == most else 0.0
            if rule.reason(Rounds(taken), widest, elapsed):
                verdict, _ = ratio_verdict(arm, null.ci95)
                return Outcome(taken, verdict)
        taken = min(most, taken + max(1, taken // LOOK_EVERY))


def _ratio(times: Sequence[Sequence[float]], arm: int, rounds: int) -> Ratio:
    ratio = paired_ratio(times[DENSE][:rounds], times[arm][:rounds])
    assert ratio is not None
    return ratio


def _half_width(ratio: Ratio) -> float:
    assert ratio.ci95 is not None
    return (ratio.ci95[1] - ratio.ci95[0]) / 2 / ratio.median


def profiles(noise: Noise, count: int, most: int) -> dict[str, Any]:
    """``count`` profiles without an effect and as many with one."""
    equal = [simulate(noise, 0.0, seed, most) for seed in range(count)]
    slow = [simulate(noise, SLOWDOWN, seed, most) for seed in range(count)]
    return {
        "median_rounds": sorted(outcome.rounds for outcome in equal)[count // 2],
        "false_claims": sum(outcome.verdict in (FASTER, SLOWER) for outcome in equal),
        "detected": sum(outcome.verdict == SLOWER for outcome in slow),
    }


def main() -> None:
    """Simulate, save and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--intervals", type=int, default=500, help="a cell")
    parser.add_argument("--profiles", type=int, default=100, help="of each kind, a cell")
    parser.add_argument("--most-rounds", type=int, default=40, help="a profile has time for")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    result = origin() | {"intervals": args.intervals, "profiles": args.profiles}
    result |= {"slowdown": SLOWDOWN, "most_rounds": args.most_rounds}
    cells = {}
    for name, noise in NOISES.items():
        missed = {str(n): misses(noise, n, args.intervals) for n in ROUNDS}
        cells[name] = {"missed": missed, **profiles(noise, args.profiles, args.most_rounds)}
        print(name, cells[name], file=sys.stderr, flush=True)
        write(args.output, result | {"noises": cells})
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
