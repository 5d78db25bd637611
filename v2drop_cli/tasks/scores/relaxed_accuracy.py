"""Relaxed accuracy of ChartQA (arXiv 2203.10244, section 5.1): numbers may be 5 % off.

Source: ``relaxed_correctness`` of pix2struct, which harnesses share: ``12%`` is 0.12; a right
answer of 0 has nothing to be a share of and is compared as text. Spaces around are left out here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

TOLERANCE = 0.05


def relaxed_accuracy(answer: str, right: Sequence[str]) -> float:
    """1 if the answer is near enough to one that is right, else 0.

    >>> relaxed_accuracy("95", ["100"]), relaxed_accuracy("94", ["100"])
    (1.0, 0.0)
    >>> relaxed_accuracy("12%", ["0.12"]), relaxed_accuracy("Blue", ["blue"])
    (1.0, 1.0)
    """
    return float(any(_near(answer.strip(), one.strip()) for one in right))


def _near(answer: str, right: str) -> bool:
    given, wanted = _number(answer), _number(right)
    if given is not None and wanted:
        return abs(given - wanted) / abs(wanted) <= TOLERANCE
    return answer.lower() == right.lower()


def _number(text: str) -> float | None:
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
