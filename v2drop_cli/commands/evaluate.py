"""``v2drop eval``: are the answers still right? Every question through every arm, paired.

Rows are kept as they finish (:class:`~v2drop_cli.records.journal.Journal`), and the table is made
of what is kept, so that a run that was killed and gone on with says what an unbroken one says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.askable import first_askable, nothing_askable
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.chosen import chosen_caveat, ignored_counts
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.commands.asked_model import request_to, settings_of
from v2drop_cli.commands.engines import Ask, Ray, engine
from v2drop_cli.commands.meeting import IsWritten, Meeting, Part, gathered
from v2drop_cli.judge.scoreboard import filled
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.methods.parameters import parameters_of
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.splitting import agreed
from v2drop_cli.records import DENSE, INTERRUPTED
from v2drop_cli.records.evaluation import (
    ALL_ROWS,
    ArmScores,
    BrokenRow,
    DataRecord,
    Evaluation,
)
from v2drop_cli.records.journal import Journal, RowResult
from v2drop_cli.tasks.rows import Data, Row


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to evaluate; see ``v2drop eval --help``."""

    model_name: str
    arms: ArmOptions
    how: How
    limit: int | None = None
    batch_size: int = 1
    part: Part = field(default_factory=Part)
    ray: Ray | None = None

    def settings(self, data: Data) -> dict[str, Any]:
        """What a run that is gone on with must have in common with this one, as far as typed.

        Not among it: how many rows are asked, for more of them are no other run.
        """
        how = self.how
        return {
            **({} if data.columns is None else {"columns": data.columns}),
            "DATA": data.digest,
            "metric": None if how.metric is None else how.metric.name,
            "model": self.model_name,
            "seed": how.seed,
            "longest answer": how.max_new_tokens,
            "batch size": self.batch_size,
            "number of frames": how.frames,
            "fidelity": how.fidelity,
        }

    def asked(self, data: Data) -> int:
        """How many rows are asked."""
        return data.count if self.limit is None else min(self.limit, data.count)


def evaluate(
    loaded: LoadedModel,
    data: Data,
    options: EvalOptions,
    journal: Journal,
    watch: Watch | None = None,
    is_written: IsWritten = lambda path: None,
) -> Evaluation | None:
    """Ask every row that ``journal`` does not have yet; the table is of all that it then has.

    Ctrl-C ends the asking, not the evaluation: it is marked partial.

    Args:
        loaded: the model.
        data: the questions.
        options: how they are asked; and of several processes which one this is.
        journal: where rows are kept.
        watch: whom to tell.
        is_written: whether a living process writes a file, where there are several.

    Returns:
        ``None`` where another process makes the table.

    Raises:
        ScheduleError: a schedule does not fit the model or the first prompt.
        UsageError: the journal is of a run that was asked otherwise.
        V2DropError: no row can be asked.
        KeyboardInterrupt: interrupted before a row was answered.
    """
    watch = watch or Watch()
    with Nvml(loaded.device) as nvml:
        rows = islice(data.rows(), options.asked(data))
        passes = first_askable(loaded, rows, options.how.frames, nvml, data.name)
        first = line_up(options.arms, passes, watch)
        _warm_up(first, passes, watch)
        journal.begin({**options.settings(data), **_resolved(loaded, first)})
        meeting = Meeting(journal, options.asked(data), options.batch_size, is_written)
        meeting.look_for(options.part.awaited)
        with engine(options, passes, first) as ask:
            own = _ask(_Asking(ask, loaded, watch), data, options, journal)
        stopped_by = gathered(options.part, meeting, own, watch)
        environment = describe(loaded.device, nvml)
    if stopped_by is None:
        return None
    results = [one for one in journal.results if one.row < options.asked(data)]
    sound = [one for one in results if one.broken is None]
    if not sound:
        raise nothing_askable(data.name, results)
    return Evaluation(
        environment=environment,
        data=_asked_of(data, options),
        request=request_to(loaded, options.model_name, options.how, options.batch_size),
        arms=tuple(_scores(arm, sound, options.how) for arm in first),
        rows=len(sound),
        broken=tuple(BrokenRow(one.row, one.broken) for one in results if one.broken is not None),
        stopped_by=stopped_by,
        warnings=passes.caveats(),
    )


def _asked_of(data: Data, options: EvalOptions) -> DataRecord:
    metric = options.how.metric
    return DataRecord(
        name=data.name,
        digest=data.digest,
        columns=data.columns,
        rows=data.count,
        asked=options.asked(data),
        metric=None if metric is None else metric.name,
        metric_source=None if metric is None else metric.source,
    )


def _warm_up(arms: Sequence[Arm], passes: Passes, watch: Watch) -> None:
    """One prefill of each arm, so that the first row is not timed cold; what to say of methods."""
    for number, arm in enumerate(arms):
        watch.check()
        watch.on_progress(Progress(Phase.WARM_UP, number, len(arms)))
        passes.prefill(arm)
        if arm.method is not None:
            method = get_method(arm.method)
            passes.note(*method.caveats())
            if method.chooses_count:
                passes.note(chosen_caveat(method.name), *ignored_counts(arm, method))


def _resolved(loaded: LoadedModel, arms: Sequence[Arm]) -> Mapping[str, Any]:
    """What is known of the run once the model is there."""
    return {
        **settings_of(loaded),
        "set of arms": [
            [arm.label, arm.method, None if arm.schedule is None else str(arm.schedule)]
            for arm in arms
        ],
    }


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who answers, and who is told."""

    ask: Ask
    loaded: LoadedModel
    watch: Watch


def _ask(asking: _Asking, data: Data, options: EvalOptions, journal: Journal) -> str:
    """Ask what is missing of this process's rows, batch by batch; return why it ended.

    A batch that a kill cut in two is asked again as a whole: its rows then meet the same
    neighbours.
    """
    shard, began, new, watch = options.part.shard, time.monotonic(), 0, asking.watch
    own = list(shard.rows(options.asked(data), options.batch_size))
    done = sum(row in journal for row in own)
    # Only the first of the processes that share a model knows which rows are there.
    left = agreed(asking.loaded, {row // options.batch_size for row in own if row not in journal})

    def batches() -> Iterator[tuple[Row, ...]]:
        for number, rows in enumerate(_batches(data, options.asked(data), options.batch_size)):
            if number in left:
                watch.check()
                left_s = (time.monotonic() - began) / new * (len(own) - done) if new else None
                watch.on_progress(Progress(Phase.ROWS, done, len(own), left_s=left_s))
                yield rows

    try:
        for results in asking.ask(batches()):
            missing = sum(result.row not in journal for result in results)
            watch.check()  # a row that failed because of an interrupt is not broken
            journal.append(results)
            new, done = new + missing, done + missing
    except KeyboardInterrupt:
        if not done:
            raise
        return INTERRUPTED
    return ALL_ROWS


def _batches(data: Data, asked: int, size: int) -> Iterator[tuple[Row, ...]]:
    rows = islice(data.rows(), asked)
    while found := tuple(islice(rows, size)):
        yield found


def _scores(arm: Arm, sound: Sequence[RowResult], how: How) -> ArmScores:
    method = None if arm.method is None else get_method(arm.method)
    details: dict[str, float] = {}
    if how.metric is not None:
        pairs = [(row.arms[arm.label].text, row.label or "") for row in sound]
        details = how.metric.details(pairs)
    bare = ArmScores(
        label=arm.label,
        method=None if method is None else method.name,
        parameters={} if method is None else parameters_of(method),
        schedule=None if arm.schedule is None else str(arm.schedule),
        budget=None if arm.budget is None else arm.budget.name,
        solved=arm.solved,
        score=None,
        groups=(),
        details=details,
        vision_tokens=0.0,
        layer_average_vision_tokens=0.0,
        answer_tokens=0.0,
        prefill_s=None,
        decode_s_per_token=None,
        against_dense=None,
        fidelity=None,
    )
    return filled(bare, DENSE, sound)
