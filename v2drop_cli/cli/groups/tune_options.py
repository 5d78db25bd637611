"""What ``tune`` searches on, for what, and where what it finds goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.eval_options import EvalData, EvalMeasuring, EvalOutput
from v2drop_cli.cli.groups.measuring_options import AnswerOptions, parse_share
from v2drop_cli.cli.groups.output_options import CommonOutput
from v2drop_cli.cli.signature import DROPPING, MEASURING, MEDIA, OUTPUT, Looks, again, option
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.cli.output import ResultFiles
    from v2drop_cli.tasks.rows import Data
    from v2drop_cli.tasks.scores.known import Metric


@dataclass(frozen=True, slots=True)
class TuneData(EvalData):
    """The questions, and those that decide."""

    limit: int = again(
        EvalData,
        "limit",
        default=256,
        help="Only the first N rows, those held out among them.",
        within=(2, None),
    )
    holdout: str | None = option(
        None,
        Looks(
            "--holdout",
            "Other questions that decide what is claimed [default: one of every two rows].",
            MEDIA,
            "DATA",
        ),
    )
    holdout_split: str | None = option(
        None, Looks("--holdout-split", "Of --holdout, as --split of DATA.", MEDIA, "NAME")
    )

    def opened(self) -> tuple[Data, Data | None]:
        """The questions, and those of ``--holdout``; both have the same columns.

        Raises:
            UsageError: they cannot be read, or a split is named of nothing.
        """
        from v2drop_cli.tasks.sources import open_data

        data = open_data(self.data, self.columns, self.split)
        if self.holdout is not None:
            return data, open_data(self.holdout, self.columns, self.holdout_split)
        if self.holdout_split is not None:
            raise UsageError(
                f"--holdout-split {self.holdout_split}: no --holdout is named",
                hint="--holdout DATA; it may be the same folder",
            )
        return data, None


@dataclass(frozen=True, slots=True)
class TuneDropping:
    """What is searched, and for what."""

    budget: str | None = option(
        None,
        Looks(
            "--budget",
            "As good as can be at this layer average of vision tokens, e.g. 33% or 192.",
            DROPPING,
            "TOKENS",
            rivals="goal",
        ),
    )
    tolerate: str | None = option(
        None,
        Looks(
            "--tolerate",
            "As few tokens as can be with at most this loss, e.g. 1%.",
            DROPPING,
            "SHARE",
            rivals="goal",
        ),
    )
    method: tuple[str, ...] = again(
        DroppingOptions,
        "method",
        help="Methods to choose among, the first is what the tuned one is compared with; all is "
        "every method that can be tuned here [default: v2drop].",
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that are tried."""
        return self.method or ("v2drop",)

    def loss(self) -> float | None:
        """The tolerated loss, checked with the budget and the names of the methods.

        Raises:
            UsageError: both goals or none, one that cannot be read, or a name that nothing has.
        """
        from v2drop_cli.bench.arms import budget_tokens
        from v2drop_cli.methods.registry import ALL, check_method

        if (self.budget is None) == (self.tolerate is None):
            raise UsageError(
                "tune for a budget or for a tolerated loss, one of the two",
                hint="--budget 33% keeps a third of the tokens; --tolerate 1% loses at most that",
            )
        for name in self.method:
            if name != ALL:
                check_method(name)
        if self.budget is not None:
            budget_tokens(self.budget, n_vision=1)
        return None if self.tolerate is None else parse_share("--tolerate", self.tolerate)


@dataclass(frozen=True, slots=True)
class TuneMeasuring(AnswerOptions):
    """How it is searched."""

    max_new_tokens: int = again(AnswerOptions, "max_new_tokens", default=16)
    batch_size: int = again(EvalMeasuring, "batch_size")
    metric: str | None = again(
        EvalMeasuring,
        "metric",
        help="Tune for this score (see v2drop eval), not for fidelity to dense's answers.",
    )
    trials: int = option(
        40, Looks("--trials", "Schedules to try.", MEASURING, "N", within=(1, None))
    )
    sampler: str = option(
        "tpe",
        Looks("--sampler", "tpe, which needs optuna, or random.", MEASURING, "NAME"),
    )

    def scored_by(self, data: Data) -> Metric | None:
        """How ``data`` is scored; without answers only its fidelity is looked at.

        Raises:
            UsageError: it cannot be, or there is no such metric.
        """
        from v2drop_cli.tasks.scores.known import metric_for

        if self.metric is not None and not data.labelled:
            raise UsageError(
                f"{data.name} has rows without answers, so there is nothing to score",
                hint="leave out --metric, and tune for fidelity to dense's answers",
            )
        return metric_for(data, self.metric, fidelity=True)


@dataclass(frozen=True, slots=True)
class TuneOutput(CommonOutput):
    """Where trials and results go."""

    output: Path | None = again(
        EvalOutput,
        "output",
        help="Keep trials as they end (trials.jsonl), the document (tuning.json) and the schedule "
        "(schedule.json).",
    )
    resume: bool = again(EvalOutput, "resume", help="Go on with the search that is in --output.")
    export: Path | None = option(
        None,
        Looks("--export", "Write the schedule, for --schedule @FILE.", OUTPUT, "FILE"),
    )

    def check(self) -> None:
        """Refuse to go on with nothing."""
        if self.resume and self.output is None:
            raise UsageError(
                "--resume goes on with a search in a folder, and none is named",
                hint="--output DIR, the one that it was begun with",
            )

    def trials(self) -> Path | None:
        """Where trials are kept; the folder is made.

        Raises:
            OutputPathError: it cannot be.
        """
        from v2drop_cli.records.line_journal import file_in

        return None if self.output is None else file_in(self.output, "trials.jsonl")

    def files(self, read: Sequence[Path] = ()) -> ResultFiles:
        """The files to write, each known to be writable; the folder is there by now."""
        from v2drop_cli.cli.output import ResultFiles

        folder = self.output
        document = None if folder is None else folder / "tuning.json"
        schedule = None if folder is None else folder / "schedule.json"
        paths = (document, self.export_md, None, None, schedule, self.export)
        return ResultFiles.checked(paths, read)
