"""What ``v2drop eval`` found: frozen, torch-free, and the same shape as the JSON document.

``Evaluation.to_json()`` is the document of ``v2drop eval --json`` (``v2drop.eval/1``). Scores are
from 0 to 1. What is not known is ``None``, never 0.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from v2drop_cli.records.arm import ADDED
from v2drop_cli.records.caveats import Caveat
from v2drop_cli.records.report import UNFINISHED

SCHEMA = "v2drop.eval/1"
# Of an arm against dense.
WORSE, BETTER, SAME, UNCLEAR = "worse", "better", "same", "unclear"
# Why the rows ended, beside ``interrupted``.
ALL_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class DataRecord:
    """What was asked.

    Attributes:
        name: as it was typed.
        digest: tells the data from other data: of a file its SHA-256, of several that of theirs.
        rows: how many it has.
        asked: how many of them were to be asked, from the first on.
        metric: how answers are scored; ``None`` where they are not.
        metric_source: where its definition comes from.
        columns: which columns of a table were which field; ``None`` for other data.
    """

    name: str
    digest: str
    rows: int
    asked: int
    metric: str | None
    metric_source: str | None
    columns: str | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """How it was asked; names as in a report's request."""

    model: str
    resolved_id: str
    revision: str | None
    weights: str
    attn_implementation: str
    dtype: str
    device: str
    fake_quant: str
    seed: int
    max_new_tokens: int
    batch_size: int
    frames: int


@dataclass(frozen=True, slots=True)
class Score:
    """A mean score of some rows.

    Attributes:
        group: what the rows have in common; ``None`` for all.
        ci95: Wilson's interval of the mean.
    """

    group: str | None
    rows: int
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class AgainstDense:
    """One arm against dense, on the same rows.

    Attributes:
        retention: the arm's mean score over dense's; ``None`` where dense has nothing right.
        ci95: its paired interval: Bonett and Price's for right and wrong, Fieller's for grades.
        gained: rows with a higher score than dense's.
        lost: rows with a lower one.
        p_value: of McNemar's exact test: as likely to gain as to lose.
        verdict: ``worse``, ``better``, ``same`` (all of the interval within 2 %) or ``unclear``.
        prefill_speedup: median over the rows of dense's prefill over the arm's.
    """

    retention: float | None
    ci95: tuple[float, float] | None
    gained: int
    lost: int
    p_value: float | None
    verdict: str | None
    prefill_speedup: float | None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How far an arm keeps to dense, whatever is right: along dense's own answers.

    Attributes:
        rows: how many were looked at.
        kl: mean over rows of the mean over an answer's tokens of ``KL(dense ‖ arm)``, in nats.
        kl_most: the largest of these means.
        agreement: mean share of the answer's places at which the likeliest token is dense's.
        diverged: rows with a place at which it is not.
        first_divergence: median of the first such place among them; ``None`` for none.
        equal: rows whose own answer is dense's, token by token.
    """

    rows: int
    kl: float
    kl_most: float
    agreement: float
    diverged: int
    first_divergence: float | None
    equal: int


@dataclass(frozen=True, slots=True)
class ArmScores:
    """One arm over all rows.

    Attributes:
        label: ``dense``, or its method and schedule or budget.
        schedule: of a prompt like the first one; a budget comes to another one with each prompt.
        score: over all rows; ``None`` where nothing is scored.
        groups: the same group by group, by name.
        details: what else the metric tells, such as ``f1``.
        vision_tokens: mean over the rows.
        layer_average_vision_tokens: mean over the rows; in the decoder, layer by layer.
        answer_tokens: mean over the rows.
        prefill_s: median over the rows; in a batch, a row's share of it.
        decode_s_per_token: likewise.
    """

    label: str
    method: str | None
    parameters: dict[str, Any]
    schedule: str | None
    budget: str | None
    solved: tuple[str, ...]
    score: Score | None
    groups: tuple[Score, ...]
    details: dict[str, float]
    vision_tokens: float
    layer_average_vision_tokens: float
    answer_tokens: float
    prefill_s: float | None
    decode_s_per_token: float | None
    against_dense: AgainstDense | None
    fidelity: Fidelity | None


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that could not be asked; no arm counts it.

    Attributes:
        row: its place in the data, from 0.
        reason: in one line.
    """

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that ``v2drop eval`` found.

    Attributes:
        arms: dense first.
        rows: how many were answered by all arms.
        broken: the rows that could not be asked.
        stopped_by: ``rows`` (all that were asked for), or ``interrupted``.
        summary: the finding in one sentence, as the terminal says it.
        command: the command line that made it.
    """

    environment: dict[str, Any]
    data: DataRecord
    request: EvalRequest
    arms: tuple[ArmScores, ...]
    rows: int
    broken: tuple[BrokenRow, ...]
    stopped_by: str
    warnings: tuple[Caveat, ...] = ()
    summary: str | None = None
    command: str | None = None

    @property
    def partial(self) -> bool:
        """Whether rows that were asked for are missing."""
        return self.stopped_by in UNFINISHED

    def to_json(self) -> dict[str, Any]:
        """The ``v2drop.eval/1`` document."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def dumps(self) -> str:
        """The document as text; no NaN (that would not be JSON)."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
