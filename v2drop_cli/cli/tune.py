"""``v2drop tune``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.cli.called import called
from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.tune_options import TuneData, TuneDropping, TuneMeasuring, TuneOutput
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.output import ResultFiles, hand_over, warn, write
from v2drop_cli.cli.output import tell as say
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command

if TYPE_CHECKING:
    from v2drop_cli.commands.tune import TuneOptions
    from v2drop_cli.records.tuning import Tuning
    from v2drop_cli.tasks.rows import Data


@command
def tune(
    given: TuneData,
    dropping: TuneDropping,
    model: ModelOptions,
    measuring: TuneMeasuring,
    output: TuneOutput,
) -> None:
    """Search where to drop and how much, for one model and your questions.

    Rows that are held out decide what is claimed. Needs optuna: pip install optuna.

    \b
    v2drop tune shapes --budget 33% --batch-size 16 --output tuned/
    v2drop tune questions.jsonl --model llava-1.5-7b --tolerate 1% --output tuned/
    v2drop tune questions.jsonl --model llava-1.5-7b --tolerate 1% --output tuned/ --resume
    """
    from v2drop_cli.bench.arms import ArmOptions
    from v2drop_cli.records.tuning import TrialJournal
    from v2drop_cli.report.file_lock import only_writer

    output.check()
    data, other = given.opened()
    asked = _asked((data, other), given, dropping, measuring)
    load, path = model.load_options(measuring.seed), output.trials()
    sides = [data] if other is None else [data, other]
    files = output.files([file for side in sides for file in side.files])
    with ExitStack() as held:
        held.enter_context(files.held())
        if path is not None:
            held.enter_context(only_writer(path))
        journal = TrialJournal(path, output.resume)
        for line in dict.fromkeys(side.told for side in sides if side.told is not None):
            say(line)
        with telling() as tell:
            tell(Progress(Phase.STARTING))
            from v2drop_cli.commands.tune import tune as search  # torch comes with it

            options = asked(model.model)
            journal.check(options.settings(data))
            tell(Progress(Phase.LOADING, what=model.model))
            arms = ArmOptions(methods=dropping.methods, seed=measuring.seed)
            loaded = load_for(arms, frozenset(), model.model, load)
            found = search(loaded, data, options, journal, Watch(tell, None, check, warn))
        _tell(found, files, output)
    leave_if_partial(found)


def _asked(
    sides: tuple[Data, Data | None],
    given: TuneData,
    dropping: TuneDropping,
    measuring: TuneMeasuring,
) -> Callable[[str], TuneOptions]:
    """Check what was typed without torch; what it comes to, for a model by name, needs it.

    Raises:
        UsageError: it means nothing.
    """
    loss, (data, other) = dropping.loss(), sides
    metric = measuring.scored_by(data)
    if other is not None and metric is not None:
        measuring.scored_by(other)

    def options(model: str) -> TuneOptions:
        from v2drop_cli.bench.asking import How
        from v2drop_cli.commands.tune import TuneOptions
        from v2drop_cli.tuning.samplers import sampler_of

        sampler_of(measuring.sampler)
        return TuneOptions(
            model_name=model,
            methods=dropping.methods,
            how=How(metric, measuring.max_new_tokens, given.frames, measuring.seed),
            budget=dropping.budget,
            tolerate=loss,
            by_score=measuring.metric is not None,
            held_out=other,
            limit=given.limit,
            batch_size=measuring.batch_size,
            sampler=measuring.sampler,
            trials=measuring.trials,
        )

    return options


def _tell(found: Tuning, files: ResultFiles, output: TuneOutput) -> None:
    """The table on stdout first, whatever becomes of the files."""
    from v2drop_cli.report.tune_view import build_tune_view, summarised_tuning
    from v2drop_cli.schedule import Schedule
    from v2drop_cli.schedule_file import written

    found = summarised_tuning(found, called())
    hand_over(found, build_tune_view(found), files, output.json)
    best = found.best
    for file in (files.schedule, files.exported):
        if file is not None and best is not None:
            schedule = Schedule.parse(best.schedule)
            write(file, written(schedule, best.method, found.found()))
