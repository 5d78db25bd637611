"""What ``v2drop tune`` found: frozen, torch-free, and the same shape as the JSON document.

``Tuning.to_json()`` is the document of ``v2drop tune --json`` (``v2drop.tune/1``). Shares and
scores are from 0 to 1. What is not known is ``None``, never 0.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v2drop_cli.records.caveats import Caveat
from v2drop_cli.records.evaluation import BrokenRow, EvalRequest, Score
from v2drop_cli.records.line_journal import LineJournal
from v2drop_cli.records.report import UNFINISHED

SCHEMA = "v2drop.tune/1"
TRIALS_SCHEMA = "v2drop.tune-trials/1"
FIDELITY = "fidelity"
"""What is tuned for, unless it is the score by some metric."""
# Where a trial's schedule comes from.
KNOWN, DRAWN = "known", "drawn"
# Why the trials ended, beside ``interrupted``.
ALL_TRIALS = "trials"
# Of a tolerated loss.
WITHIN, BEYOND, UNSURE = "within", "beyond", "unsure"


@dataclass(frozen=True, slots=True)
class Cost:
    """What an arm costs, over some rows.

    Attributes:
        share: mean layer average, of each prompt's vision tokens.
        prefill_flops: mean over the rows, from shapes; ``None`` where they do not say it.
        prefill_s: median over the rows; in a batch, a row's share of it.
    """

    share: float
    prefill_flops: float | None
    prefill_s: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What an arm is worth, over some rows.

    Attributes:
        kl: mean over rows of the mean over dense's answer's tokens of ``KL(dense ‖ arm)``, in nats.
        agreement: mean share of places at which the likeliest token is dense's.
        score: of the arm's own answers; ``None`` where they are not scored.
    """

    kl: float | None
    agreement: float | None
    score: Score | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One schedule that was tried on the calibration rows.

    Attributes:
        number: from 0.
        origin: ``known`` (a method's own drops, a preset), or ``drawn`` by the sampler.
        parameters: what a sampler drew, or would have to draw for it.
        method: in text form.
        schedule: in shares.
        asked: the layer average that it was made for, of the vision tokens.
        loss: 1 less the agreement, or 1 less what is left of dense's score.
        value: what the search wants small.
        on_flops, on_prefill: whether no other trial is as good and cheaper, or as cheap and better.
    """

    number: int
    origin: str
    parameters: dict[str, Any]
    method: str
    schedule: str
    asked: float
    cost: Cost
    quality: Quality
    loss: float
    value: float
    on_flops: bool = False
    on_prefill: bool = False

    def line(self) -> str:
        """As JSON in one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Trial:
        """From what :meth:`line` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        quality = value["quality"]
        score = quality["score"]
        if score is not None:
            score = Score(**{**score, "ci95": tuple(score["ci95"])})
        return cls(
            **{
                **value,
                "cost": Cost(**value["cost"]),
                "quality": Quality(**{**quality, "score": score}),
            }
        )


class TrialJournal(LineJournal[Trial]):
    """The trials of one search; see :class:`~v2drop_cli.records.line_journal.LineJournal`."""

    schema, kind, called = TRIALS_SCHEMA, Trial, "the trials of a search"


@dataclass(frozen=True, slots=True)
class TuneData:
    """What was asked.

    Attributes:
        name: as it was typed.
        digest: tells the data from other data.
        rows: how many it has.
        held_out: the name of the data that was held out; ``None`` for rows of the same.
        held_out_digest: likewise.
    """

    name: str
    digest: str
    rows: int
    held_out: str | None
    held_out_digest: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """How it was searched.

    Attributes:
        by: ``fidelity``, or the metric of the score.
        budget: layer average, of the vision tokens; ``None`` where a loss is tolerated.
        tolerate: the loss that is tolerated; ``None`` where there is a budget.
        methods: those that were tried.
        sampler: ``tpe`` or ``random``.
        trials: how many were asked for.
        known: how many of them were known beforehand.
    """

    by: str
    budget: float | None
    tolerate: float | None
    methods: tuple[str, ...]
    sampler: str
    trials: int
    known: int


@dataclass(frozen=True, slots=True)
class Compared:
    """The tuned arm against the default one, on the same rows.

    Attributes:
        ratio: of mean KL divergences (below 1 is better), or of scores (above 1 is).
        ci95: its paired interval; ``None`` where nothing says how far it would vary.
        gained, lost: rows on which the tuned one does better, worse.
        p_value: of the exact sign test.
        verdict: ``better``, ``worse``, ``same`` or ``unclear``.
    """

    ratio: float | None
    ci95: tuple[float, float] | None
    gained: int
    lost: int
    p_value: float
    verdict: str


@dataclass(frozen=True, slots=True)
class ArmOn:
    """One arm on one side of the data.

    Attributes:
        loss: as of a trial; ``None`` where dense has no score that could be lost.
        loss_ci95: of the loss: of agreement Wilson's, which of grades is wider than need be; of
            scores the paired one of what is left; ``None`` where nothing says how far it varies.
    """

    label: str
    method: str | None
    schedule: str | None
    cost: Cost
    quality: Quality
    loss: float | None
    loss_ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Side:
    """The calibration rows, or those that were held out.

    Attributes:
        arms: dense, the default at the tuned one's layer average, the tuned one.
        kl: the tuned one against the default, by KL divergence.
        score: the same by score; ``None`` where nothing is scored.
    """

    name: str
    rows: int
    arms: tuple[ArmOn, ...]
    kl: Compared
    score: Compared | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """Everything that ``v2drop tune`` found.

    Attributes:
        trials: in order.
        tuned: number of the trial that is recommended; ``None`` where none keeps within the loss.
        sides: calibration rows, then those held out; empty where the search was interrupted.
        carries_over: the verdict on the rows held out, by what was tuned for.
        tolerated: whether the loss on the rows held out is ``within`` the one tolerated,
            ``beyond`` it, or ``unsure``; ``None`` with a budget.
        stopped_by: ``trials`` (all that were asked for), or ``interrupted``.
        summary: the finding in one sentence, as the terminal says it.
        command: the command line that made it.
    """

    environment: dict[str, Any]
    data: TuneData
    request: EvalRequest
    search: Search
    trials: tuple[Trial, ...]
    tuned: int | None
    sides: tuple[Side, ...]
    carries_over: str | None
    tolerated: str | None
    broken: tuple[BrokenRow, ...]
    stopped_by: str
    warnings: tuple[Caveat, ...] = ()
    summary: str | None = None
    command: str | None = None

    @property
    def partial(self) -> bool:
        """Whether trials that were asked for are missing."""
        return self.stopped_by in UNFINISHED

    @property
    def by_score(self) -> bool:
        """Whether it was tuned for a score; else for fidelity."""
        return self.search.by != FIDELITY

    @property
    def best(self) -> Trial | None:
        """The trial that is recommended."""
        return None if self.tuned is None else self.trials[self.tuned]

    def found(self) -> dict[str, Any]:
        """How the schedule was found, for the file that it stands in."""
        return {
            "by": self.command,
            "finding": self.summary,
            "model": self.request.model,
            "revision": self.request.revision,
            "data": self.data.name,
            "data_digest": self.data.digest,
            "search": dataclasses.asdict(self.search),
            "trial": self.tuned,
            "seed": self.request.seed,
            "v2drop": self.environment.get("v2drop"),
            "date": self.environment.get("date"),
        }

    def to_json(self) -> dict[str, Any]:
        """The ``v2drop.tune/1`` document."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def dumps(self) -> str:
        """The document as text; no NaN (that would not be JSON)."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
