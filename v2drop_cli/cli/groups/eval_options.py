"""What ``eval`` asks, how it scores, and the folder that it keeps rows in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.groups.measuring_options import AnswerOptions
from v2drop_cli.cli.groups.output_options import CommonOutput, ProfileOutput, RunOutput
from v2drop_cli.cli.signature import MEASURING, MEDIA, OUTPUT, Looks, again, argument, option
from v2drop_cli.errors import MissingPackageError, UsageError, unknown_name

if TYPE_CHECKING:
    from v2drop_cli.bench.asking import How
    from v2drop_cli.cli.output import ResultFiles
    from v2drop_cli.commands.engines import Ray
    from v2drop_cli.commands.meeting import Part
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.processes import Processes
    from v2drop_cli.records.shards import Shard
    from v2drop_cli.tasks.rows import Data
    from v2drop_cli.tasks.scores.known import Metric

LOCAL, RAY = "local", "ray"
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class EvalData:
    """The questions."""

    data: str = argument(
        "DATA", "JSONL, Parquet, or a folder of datasets (docs/eval.md); or built in: shapes."
    )
    columns: tuple[str, ...] = option(
        (),
        Looks(
            "--columns",
            "Of a table: question=…,image=…,answers=…,choices=…,group=… [default: by name].",
            MEDIA,
            "FIELD=COLUMN,…",
        ),
    )
    split: str | None = option(
        None, Looks("--split", "Of a folder that holds several.", MEDIA, "NAME")
    )
    limit: int | None = option(
        None, Looks("--limit", "Only the first N rows.", MEDIA, "N", within=(1, None))
    )
    frames: int = option(
        8, Looks("--frames", "Frames sampled evenly of a video.", MEDIA, "N", within=(1, None))
    )


@dataclass(frozen=True, slots=True)
class EvalMeasuring(AnswerOptions):
    """How rows are asked and scored."""

    batch_size: int = option(
        1,
        Looks("--batch-size", "Rows answered at once, padded.", MEASURING, "N", within=(1, None)),
    )
    metric: str | None = option(
        None,
        Looks(
            "--metric",
            "exact_match, vqa, multiple_choice, yes_no, relaxed or anls [default: of DATA].",
            MEASURING,
            "NAME",
        ),
    )
    fidelity: bool = option(
        False,
        Looks(
            "--fidelity",
            "Also lead each arm along dense's answer: KL divergence, agreement.",
            MEASURING,
        ),
    )

    engine: str = option(
        LOCAL,
        Looks(
            "--engine",
            "local, or ray: a Ray cluster answers, a model in each worker (docs/scale.md).",
            MEASURING,
            "NAME",
        ),
    )
    workers: int | None = option(
        None, Looks("--workers", "Of --engine ray; 2 of them.", MEASURING, "N", within=(1, None))
    )

    def cluster(self, load: LoadOptions, shared: bool) -> Ray | None:
        """The cluster that answers, if one is asked for.

        Args:
            load: how its workers load the model.
            shared: whether several processes share the rows or the model already.

        Raises:
            UsageError: there is no such engine, or no use for one.
            MissingPackageError: Ray is not installed.
        """
        if self.engine == LOCAL:
            if self.workers is not None:
                raise UsageError(
                    "--workers is of --engine ray", hint="name the engine too, or see docs/scale.md"
                )
            return None
        if self.engine != RAY:
            raise unknown_name("engine", self.engine, (LOCAL, RAY))
        if shared:
            raise UsageError(
                "several processes share this evaluation, and --engine ray would share it again",
                hint="start one process, and say how many workers with --workers",
            )
        if find_spec("ray") is None:
            raise MissingPackageError("--engine ray needs the package ray", hint="pip install ray")
        from v2drop_cli.commands.engines import Ray

        return Ray(self.workers or _WORKERS, load)

    def how(self, metric: Metric | None, frames: int) -> How:
        """How rows are asked; torch comes with it."""
        from v2drop_cli.bench.asking import How

        return How(metric, self.max_new_tokens, frames, self.seed, self.fidelity)

    def scored_by(self, data: Data) -> Metric | None:
        """How ``data`` is scored; without answers only its fidelity is looked at.

        Raises:
            UsageError: it cannot be, or there is no such metric.
        """
        from v2drop_cli.tasks.scores.known import metric_for

        return metric_for(data, self.metric, self.fidelity)


@dataclass(frozen=True, slots=True)
class EvalOutput(CommonOutput):
    """Where rows and results go."""

    output: Path | None = option(
        None,
        Looks(
            "--output",
            "Keep rows as they finish (rows.jsonl), and the document (evaluation.json).",
            OUTPUT,
            "DIR",
        ),
    )
    resume: bool = option(
        False, Looks("--resume", "Go on with the run that is in --output.", OUTPUT)
    )
    shard: str | None = option(
        None,
        Looks("--shard", "Only every Nth batch, from the Kth on, for job arrays.", OUTPUT, "K/N"),
    )
    export_csv: Path | None = again(
        ProfileOutput, "export_csv", help="Write every answer: a line per row and arm."
    )
    export_html: Path | None = again(RunOutput, "export_html")

    def part(self, processes: Processes) -> Part:
        """What this process asks, and whether it makes the table.

        Raises:
            UsageError: there are several and no folder to meet in, or nothing to go on with.
        """
        from v2drop_cli.commands.meeting import Part, Table
        from v2drop_cli.records.shards import Shard

        self._check(processes)
        if self.shard is not None:
            return Part(Shard.parse(self.shard), Table.IF_ALL_ARE_THERE)
        if not processes.several:
            return Part()
        table = Table.WHEN_ALL_ARE_THERE if processes.first else Table.NEVER
        return Part(Shard(processes.rank, processes.count), table)

    def _check(self, processes: Processes) -> None:
        if self.shard is not None and processes.several:
            raise UsageError(
                f"--shard in one of {processes.count} processes, which share the rows anyway",
                hint="leave --shard out, or start one process for each shard",
            )
        if self.output is None and (self.shard is not None or processes.several):
            raise UsageError(
                "several processes keep their rows in one folder, and none is named",
                hint="--output DIR, the same for all of them",
            )
        if self.resume and self.output is None:
            raise UsageError(
                "--resume goes on with a run in a folder, and none is named",
                hint="--output DIR, the one that it was begun with",
            )

    def rows(self, shard: Shard) -> Path | None:
        """Where the rows of ``shard`` are kept; the folder is made.

        Raises:
            OutputPathError: it cannot be.
        """
        from v2drop_cli.records.shards import rows_file

        return None if self.output is None else rows_file(self.output, shard)

    def files(self, read: Sequence[Path] = ()) -> ResultFiles:
        """The files to write, each known to be writable; the folder is there by now."""
        from v2drop_cli.cli.output import ResultFiles

        document = None if self.output is None else self.output / "evaluation.json"
        paths = (document, self.export_md, self.export_csv, self.export_html)
        return ResultFiles.checked(paths, read)
