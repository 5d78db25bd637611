"""The rows of an evaluation as they finish, one JSON line each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2drop_cli.records.line_journal import LineJournal
from v2drop_cli.records.shards import Shard, row_files

SCHEMA = "v2drop.eval-rows/1"


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """What one arm said to one row.

    Attributes:
        text: the answer.
        tokens: its ids.
        score: from 0 to 1; ``None`` where nothing is scored.
        kl, agreement, first_divergence: see :class:`~v2drop_cli.records.evaluation.Fidelity`, of
            this row; ``None`` where nobody looked.
    """

    text: str
    tokens: tuple[int, ...]
    score: float | None
    vision_tokens: int
    layer_average: float
    prefill_s: float
    decode_s_per_token: float | None
    kl: float | None = None
    agreement: float | None = None
    first_divergence: int | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row: what each arm said, or why it could not be asked.

    Attributes:
        row: its place in the data, from 0.
        group: what its score is also counted under.
        label: an answer that is right, for details of the metric.
        arms: by label; empty for a broken row.
        broken: why it is one; ``None`` for a sound row.
    """

    row: int
    group: str | None
    label: str | None
    arms: Mapping[str, ArmAnswer] = field(default_factory=dict)
    broken: str | None = None

    @property
    def number(self) -> int:
        """Its place in the data."""
        return self.row

    def line(self) -> str:
        """As JSON in one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> RowResult:
        """From what :meth:`line` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        arms = {
            label: ArmAnswer(**{**found, "tokens": tuple(found["tokens"])})
            for label, found in value["arms"].items()
        }
        return cls(int(value["row"]), value["group"], value["label"], arms, value["broken"])


class Journal(LineJournal[RowResult]):
    """The rows of one run; see :class:`~v2drop_cli.records.line_journal.LineJournal`."""

    schema, kind, called = SCHEMA, RowResult, "the rows of a run"

    @staticmethod
    def beside(path: Path) -> list[Path]:
        """Several processes keep a file each."""
        return row_files(path.parent)

    @staticmethod
    def is_hindered_by(path: Path, other: Path) -> bool:
        """The other parts of a run that is just beginning are no hindrance."""
        return other == path or Shard.of(other).count != Shard.of(path).count
