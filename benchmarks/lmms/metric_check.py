"""Our metrics against lmms-eval's own functions and ``anls_star``, on the same made answers.

Every difference must be one that is known, with its reason; the page of ``eval`` lists them.

    python -m benchmarks.lmms.metric_check
"""

from __future__ import annotations

import re
import statistics
import string
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.lmms.metric_cases import Case, cases, shown
from v2drop_cli.tasks.rows import LETTERS
from v2drop_cli.tasks.scores.anls import anls
from v2drop_cli.tasks.scores.exact_match import exact_match
from v2drop_cli.tasks.scores.multiple_choice import letter, multiple_choice
from v2drop_cli.tasks.scores.relaxed_accuracy import relaxed_accuracy
from v2drop_cli.tasks.scores.vqa_accuracy import vqa_accuracy
from v2drop_cli.tasks.scores.yes_no import yes_no

Score = Callable[[Case], float]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why two scores may differ.

    Attributes:
        words: what the other one does.
        holds: of which cases.
    """

    words: str
    holds: Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """One of our metrics and one that it is held against.

    Attributes:
        metric: ours, by name.
        other: whose the other one is.
        ours, theirs: the scores of a case.
        reasons: the differences that are known.
    """

    metric: str
    other: str
    ours: Score
    theirs: Score
    reasons: tuple[Reason, ...] = ()


def checks() -> list[Check]:
    """All of them; the other packages are imported here."""
    return []
