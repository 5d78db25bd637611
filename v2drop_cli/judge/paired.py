"""Two arms on the same questions: what is left of a score, how sure that is, and who is right more.

Everything is a formula: the same answers give the same digits, wherever and whenever they came.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
Interval = tuple[float, float]


def wilson(mean: float, rows: int) -> Interval:
    """The 95 % interval of a mean score of 0 to 1 (Wilson 1927).

    It is that of right and wrong. Graded scores vary less, for them it is wider than need be.

    >>> low, high = wilson(0.5, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    return _wilson(mean, rows, Z95)


def _wilson(mean: float, rows: float, z: float) -> Interval:
    spread = z * z / rows
    middle = (mean + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(max(0.0, mean * (1 - mean) / rows + spread / (4 * rows)))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Pairs:
    """How two arms did on the same rows, right or wrong.

    Attributes:
        both: rows that both have right.
        gained: rows that the arm alone has right.
        lost: rows that the reference alone has right.
    """

    both: int
    gained: int
    lost: int

    @property
    def ratio(self) -> float | None:
        """The arm's score over the reference's; ``None`` where the reference has nothing right."""
        reference = self.both + self.lost
        return (self.both + self.gained) / reference if reference else None


def binary_ratio_interval(pairs: Pairs) -> Interval | None:
    """The 95 % interval of the ratio of two paired shares (Bonett and Price 2006).

    Statistics in Medicine 25, 3039-3047: Wilson intervals of both shares, at a width at which
    their quotient covers the ratio. Rows that neither has right say nothing about it. It has a
    width also where no row differs: 200 right of 200 twice may still be a loss of 1 %.

    >>> low, high = binary_ratio_interval(Pairs(both=200, gained=0, lost=0))
    >>> round(low, 4), round(high, 4)
    (0.9904, 1.0097)

    ``None`` where one of the two has nothing right.
    """
    n = pairs.both + pairs.gained + pairs.lost
    ours, theirs = pairs.both + pairs.gained, pairs.both + pairs.lost
    if not ours or not theirs:
        return None
    both = math.sqrt((pairs.gained + pairs.lost + 2) / ((ours + 1) * (theirs + 1)))
    each = [math.sqrt((1 - (right + 1) / (n + 2)) / (right + 1)) for right in (ours, theirs)]
    z = both / sum(each) * Z95
    (low, high), (least, most) = (_wilson(right / n, n, z) for right in (ours, theirs))
    return (low / most, high / least) if least > 0 else None


def graded_ratio_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """The 95 % interval of the ratio of two paired means (Fieller 1954).

    ``None`` where the reference's mean is not shown to be above 0, and where no row differs:
    nothing then says how far scores would.

    >>> graded_ratio_interval([1.0, 0.5] * 50, [1.0, 0.5] * 50) is None
    True
    >>> low, high = graded_ratio_interval([0.9, 0.4, 0.5] * 40, [1.0, 0.5, 0.5] * 40)
    >>> low < 0.9 < high
    True
    """
    n = len(ours)
    if n < 2 or all(a == b for a, b in zip(ours, theirs, strict=True)):
        return None
    a, b = math.fsum(ours) / n, math.fsum(theirs) / n
    pairs = [(x - a, y - b) for x, y in zip(ours, theirs, strict=True)]
    scale = Z95**2 / n / (n - 1)
    var_a = math.fsum(x * x for x, _ in pairs) * scale
    var_b = math.fsum(y * y for _, y in pairs) * scale
    cov = math.fsum(x * y for x, y in pairs) * scale
    # All ratios r with (a - r b)^2 <= z^2 var(a - r b): between the roots of a parabola.
    square, middle, rest = b * b - var_b, a * b - cov, a * a - var_a
    if square <= 0:
        return None
    root = math.sqrt(max(0.0, middle * middle - square * rest))
    return (middle - root) / square, (middle + root) / square


def sign_test(gained: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test: as likely to gain as to lose.

    Of scores in grades it is the sign test: rows that got better against rows that got worse.

    >>> sign_test(1, 9), sign_test(0, 0)
    (0.021484375, 1.0)
    """
    n, fewer = gained + lost, min(gained, lost)
    if not n:
        return 1.0
    if n <= 1000:
        ways: int = sum(math.comb(n, k) for k in range(fewer + 1))
        return min(1.0, 2 * ways / float(2**n))
    logs = (_log_binomial(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(one - n * math.log(2)) for one in logs))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
