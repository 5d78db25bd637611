"""What two reports say of each other: frozen, torch-free, and the same shape as the JSON.

``Changes.to_json()`` is the document of ``v2drop compare --json`` (``v2drop.compare/1``).
Every ratio is B over A, so below 1 B takes less. What is not known is ``None``, never 0.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from v2drop_cli.records import Caveat

SCHEMA = "v2drop.compare/1"

# Of answers; else they are ``verdicts.SAME``.
DIFFERS = "differs"

# Outcomes of a gate.
HELD, FAILED, UNDECIDED, UNMEASURED = "held", "failed", "undecided", "unmeasured"


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity of one arm in both reports.

    Attributes:
        metric: its name in a gate.
        unit: of ``a`` and ``b``: ``s``, ``bytes``, ``tokens``, ``flop``.
        a: median, or the single value, in report A.
        b: the same in report B.
        ratio: B over A, of the medians.
        ci95: its bootstrap interval; ``None`` for a single value and for fewer than 5 samples.
        noise: the ratios that dense against dense reaches inside A or B, symmetric about 1;
            ``None`` where neither report has a null for this, and for exact counts.
        verdict: ``faster``, ``slower``, ``same``, ``unclear``; ``less`` and ``more`` for what
            is not a time; ``None`` where A or B did not measure it.
    """

    metric: str
    unit: str
    a: float | None
    b: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    noise: tuple[float, float] | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class ArmChanges:
    """One arm that both reports have.

    Attributes:
        label: its label in B; an older report may have called it otherwise.
        answers: ``same`` or ``differs``.
        token_agreement: share of places of the longer answer that hold the same token.
        first_divergence: index of the first token that differs, or ``None``.
        changes: in a fixed order; only what at least one report measured.
    """

    label: str
    answers: str
    token_agreement: float
    first_divergence: int | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something besides the code that is not the same in both reports.

    Attributes:
        name: what it is.
        a: its value in A as text, or ``None`` where it is not known.
        b: the same in B.
        refused: whether it makes the two incomparable; only ``--anyway`` gets past it.
    """

    name: str
    a: str | None
    b: str | None
    refused: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where one side comes from.

    Attributes:
        rounds: timed rounds, or ``None`` for a report of ``v2drop run``.
        partial: it was interrupted, or was still being measured.
    """

    path: str
    date: str | None
    v2drop: str | None
    commit: str | None
    model: str
    device: str
    rounds: int | None
    partial: bool


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate.

    Attributes:
        text: as typed.
        failed: whether ``outcome`` is ``failed`` or ``unmeasured``: a build must not pass; written
            before there was an ``outcome``.
        message: why it did not hold; ``None`` where it did.
        outcome: ``held``, ``failed``, ``undecided`` (the numbers show neither), or ``unmeasured``
            (there are no numbers).
    """

    text: str
    failed: bool
    message: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything ``v2drop compare`` found.

    Attributes:
        margin: ratios from ``1 / (1 + margin)`` to ``1 + margin`` count as the same.
        only_in_a: labels of arms that B does not have.
        only_in_b: labels of arms that A does not have.
        summary: the finding in one sentence, as the terminal says it.
    """

    a: Source
    b: Source
    margin: float
    differences: tuple[Difference, ...]
    arms: tuple[ArmChanges, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    gates: tuple[GateResult, ...]
    warnings: tuple[Caveat, ...]
    summary: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The ``v2drop.compare/1`` document."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def dumps(self) -> str:
        """The document as text; no NaN (that would not be JSON)."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
