"""``v2drop eval`` in several processes: which part is this one's, and who writes what."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from v2drop_cli.cli.followers import follows
from v2drop_cli.cli.groups.eval_options import EvalOutput
from v2drop_cli.cli.output import ResultFiles
from v2drop_cli.cli.output import tell as say
from v2drop_cli.commands.meeting import Part, Table
from v2drop_cli.errors import OutputPathError
from v2drop_cli.processes import Processes
from v2drop_cli.records.shards import rivals
from v2drop_cli.report.file_lock import only_writer_beside
from v2drop_cli.tasks.rows import Data


def part_of(output: EvalOutput, processes: Processes, split: bool) -> Part:
    """Of processes that share the model the first one asks all rows, and the others with it."""
    if follows():
        return Part(table=Table.NEVER)
    return output.part(Processes() if split else processes)


def hold(held: ExitStack, part: Part, files: ResultFiles, path: Path | None) -> None:
    """Be the only one that writes what this process writes, until it ends."""
    if part.table in (Table.AT_ONCE, Table.WHEN_ALL_ARE_THERE):
        held.enter_context(files.held())
    if path is not None:
        held.enter_context(only_writer_beside(path, rivals))


def takes(held: ExitStack, part: Part, files: ResultFiles) -> bool:
    """Whether the table is this process's to write: two may have ended as the last one."""
    if part.table is Table.IF_ALL_ARE_THERE:
        try:
            held.enter_context(files.held())
        except OutputPathError:
            return False
    return True


def tell_of(processes: Processes, what: str) -> None:
    """How many there are: a launcher may have started fewer than it was told to."""
    if processes.launched:
        n = processes.count
        say(f"processes: {n} share the {what}" if n > 1 else f"processes: 1, for all {what}")


def tell_of_data(data: Data, scored: bool) -> None:
    """What a reader must know of how it is read, and of what is not looked at."""
    if data.told is not None:
        say(data.told)
    if not scored:
        say("Not all rows have answers, so none is scored")


def tell_of_the_table(part: Part) -> None:
    """Why there is none here."""
    if part.prints:
        say(
            f"shard {part.shard} has its rows; the last shard makes the table, or the same command "
            "with --resume"
        )
