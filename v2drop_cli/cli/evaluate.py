"""``v2drop eval``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.cli.called import called
from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.eval_options import EvalData, EvalMeasuring, EvalOutput
from v2drop_cli.cli.groups.model_options import LargeModelOptions
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.output import ResultFiles, hand_over, warn, write
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command

if TYPE_CHECKING:
    from v2drop_cli.records.evaluation import Evaluation
    from v2drop_cli.records.journal import Journal
    from v2drop_cli.tasks.rows import Data


@command
def evaluate(
    given: EvalData,
    dropping: DroppingOptions,
    model: LargeModelOptions,
    measuring: EvalMeasuring,
    output: EvalOutput,
) -> None:
    """Answer many questions dense and with dropping: is it still right?

    \b
    v2drop eval shapes --method v2drop --method random --budget 33% --batch-size 8
    v2drop eval questions.jsonl --model llava-1.5-7b --output run/
    v2drop eval questions.jsonl --model llava-1.5-7b --output run/ --resume
    v2drop eval chartqa/ --split test --columns question=query,answers=label --metric relaxed
    torchrun --nproc_per_node 2 -m v2drop_cli eval shapes --output run/
    """
    from v2drop_cli.cli import eval_parts as parts
    from v2drop_cli.processes import Processes
    from v2drop_cli.records.journal import Journal
    from v2drop_cli.report.file_lock import is_written
    from v2drop_cli.tasks.sources import open_data

    arms = dropping.arms(measuring.seed)
    processes = Processes.here()
    part = parts.part_of(output, processes, model.tp_plan is not None)
    load = model.load_options(measuring.seed)
    data = open_data(given.data, given.columns, given.split)
    metric = measuring.scored_by(data)
    path, files = output.rows(part.shard), output.files(data.files)
    with ExitStack() as held:
        parts.hold(held, part, files, path)
        journal = Journal(path, output.resume)
        if part.prints:
            parts.tell_of(processes, "rows" if model.tp_plan is None else "model")
            parts.tell_of_data(data, metric is not None)
        with telling(part.prints) as tell:
            tell(Progress(Phase.STARTING))
            from v2drop_cli.commands.evaluate import EvalOptions  # torch comes with it
            from v2drop_cli.commands.evaluate import evaluate as ask

            how, size = measuring.how(metric, given.frames), measuring.batch_size
            ray = measuring.cluster(load, not part.alone or processes.several)
            options = EvalOptions(model.model, arms, how, given.limit, size, part, ray)
            journal.check(options.settings(data))
            tell(Progress(Phase.LOADING, what=model.model))
            loaded = load_for(arms, frozenset(), model.model, load)
            watch = Watch(tell, None, check, warn if part.prints else lambda text: None)
            found = ask(loaded, data, options, journal, watch, is_written)
        if found is None or not parts.takes(held, part, files):
            parts.tell_of_the_table(part)
            return
        _tell(found, journal, data, files, output.json)
    leave_if_partial(found)


def _tell(
    found: Evaluation, journal: Journal, data: Data, files: ResultFiles, as_json: bool
) -> None:
    """The table on stdout first, whatever becomes of the files."""
    from v2drop_cli.report.answers_csv import answers_to_csv
    from v2drop_cli.report.eval_view import build_eval_view, summarised_evaluation

    found = summarised_evaluation(found, called())
    view = build_eval_view(found)
    hand_over(found, view, files, as_json)
    if files.csv is not None:
        write(files.csv, answers_to_csv(journal.results, found.data.asked))
    if files.html is not None:
        write(files.html, _page(found, journal, data))


def _page(found: Evaluation, journal: Journal, data: Data) -> str:
    from v2drop_cli.report.html.eval_page import Parted, eval_to_html
    from v2drop_cli.report.html.parted_rows import MOST_ROWS, parted_rows
    from v2drop_cli.tasks.rows import questions_of

    rows = parted_rows(found, journal.results)
    shown = [row.row for row in rows[:MOST_ROWS]]
    return eval_to_html(found, Parted(rows, questions_of(data, shown)))
