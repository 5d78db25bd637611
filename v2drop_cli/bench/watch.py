"""Who wants to know how far a measurement is, and what there is to know.

No torch here: the command line tells its first phase before the heavy imports begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from v2drop_cli.records import ArmResult, Report
from v2drop_cli.units import Seconds


class Phase(StrEnum):
    """The phases of a command, in the order in which they come; not every command has all."""

    STARTING = "starting"
    LOADING = "loading"
    SIZES = "measuring at"
    METHODS = "which methods can run"
    BUDGETS = "meeting budgets"
    IDLE_POWER = "idle power"
    ANSWERS = "answers"
    MEMORY = "memory"
    WARM_UP = "warm-up"
    ROUNDS = "rounds"
    INTERVALS = "intervals"
    FITTING = "what fits"
    PROOFS = "comparisons of tiny models"
    ROWS = "rows"
    DENSE = "dense's own answers"
    TRIALS = "trials"
    OTHERS = "rows of other processes"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one phase is.

    Attributes:
        phase: which one.
        done: methods that are done in ``METHODS``; arms in ``BUDGETS``, ``ANSWERS`` and
            ``MEMORY``; complete rounds in ``WARM_UP`` and ``ROUNDS``; comparisons in ``PROOFS``;
            questions in ``ROWS`` and ``OTHERS``; schedules in ``TRIALS``.
        of: how many there will be; ``None`` where the phase has nothing to count.
        at_least: whether ``of`` is only the least number of rounds: more follow until the numbers
            are precise, or time is over.
        part: share of the arm or round under way that is done, from 0 to 1.
        left_s: seconds to the end of the phase, the most that it can be if ``at_least``; ``None``
            where nothing can be said yet.
        what: what is under way, such as a model's name.
    """

    phase: Phase
    done: int = 0
    of: int | None = None
    at_least: bool = False
    part: float = 0.0
    left_s: Seconds | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """Whom to tell: called between measurements, never inside one.

    Attributes:
        on_progress: what is going on now, and how far it is.
        on_round: the report so far after each timed round but the last, if anyone wants it.
        check: raises ``KeyboardInterrupt`` if one came and was lost.
        tell: what a person should read at once, beside the report.
        on_answer: what an arm answers, long before the report is there.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    on_round: Callable[[Report], None] | None = None
    check: Callable[[], None] = lambda: None
    tell: Callable[[str], None] = lambda text: None
    on_answer: Callable[[ArmResult], None] = lambda arm: None
