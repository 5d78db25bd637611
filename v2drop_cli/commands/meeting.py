"""Several processes on one evaluation: who asks which rows, and who makes the table of all.

There are no collectives: processes meet in the files of a folder alone, so that one of them may
die, and another number of them may go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.errors import V2DropError
from v2drop_cli.records import INTERRUPTED
from v2drop_cli.records.journal import Journal
from v2drop_cli.records.shards import Shard

START_S = 600.0
"""A process that does not begin to write for so long is taken for dead."""
NEWS_S = 3600.0
"""Where no locks tell who lives: all are taken for dead when no row came for so long."""
PAUSE_S = 0.5

IsWritten = Callable[[Path], bool | None]


class Table(Enum):
    """When a process makes the table."""

    AT_ONCE = auto()
    """It is alone."""
    WHEN_ALL_ARE_THERE = auto()
    """It is the first of several that were started together: it waits for the others."""
    IF_ALL_ARE_THERE = auto()
    """It is one of several that run when they may: the last one makes it."""
    NEVER = auto()
    """It is not the first of several."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process's part of an evaluation.

    Attributes:
        shard: the batches that it asks.
        table: whether it makes the table.
    """

    shard: Shard = field(default_factory=Shard)
    table: Table = Table.AT_ONCE

    @property
    def alone(self) -> bool:
        """Whether there are no other parts."""
        return self.table is Table.AT_ONCE

    @property
    def prints(self) -> bool:
        """Whether it says more than what went wrong."""
        return self.table is not Table.NEVER

    @property
    def awaited(self) -> tuple[Shard, ...]:
        """The parts that it waits for at the end."""
        return self.shard.others if self.table is Table.WHEN_ALL_ARE_THERE else ()


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the parts of one evaluation meet.

    Attributes:
        journal: this process's; it finds the others' files.
        asked: how many rows are asked by all.
        size: of a batch.
        is_written: whether a living process writes a file; ``None`` where that cannot be told.
        seen: the shards that were seen to be written.
    """

    journal: Journal
    asked: int
    size: int
    is_written: IsWritten = lambda path: None
    seen: set[Shard] = field(default_factory=set)

    @property
    def done(self) -> int:
        """How many rows are there."""
        return sum(result.row < self.asked for result in self.journal.results)

    def look_for(self, shards: Iterable[Shard]) -> dict[Shard, bool | None]:
        """Which shards a living process writes now."""
        path = self.journal.path
        folder = Path() if path is None else path.parent
        found = {shard: self.is_written(folder / shard.file_name) for shard in shards}
        self.seen.update(shard for shard, lives in found.items() if lives)
        return found

    def missing(self, shard: Shard) -> int:
        """How many rows of ``shard`` are not there."""
        return sum(row not in self.journal for row in shard.rows(self.asked, self.size))


def gathered(part: Part, meeting: Meeting, stopped_by: str, watch: Watch) -> str | None:
    """Why the rows of all ended, once they are there; ``None`` where another one makes the table.

    Args:
        part: this process's, whose own rows are asked.
        meeting: where all meet.
        stopped_by: why its own rows ended.
        watch: whom to tell of the waiting.

    Raises:
        V2DropError: another process died.
        KeyboardInterrupt: this one was interrupted, and makes no table.
    """
    if part.table is Table.AT_ONCE:
        return stopped_by
    if stopped_by == INTERRUPTED and part.table is not Table.WHEN_ALL_ARE_THERE:
        raise KeyboardInterrupt
    if part.table is Table.NEVER:
        return None
    meeting.journal.look()
    if part.table is Table.IF_ALL_ARE_THERE:
        return stopped_by if meeting.done == meeting.asked else None
    if stopped_by != INTERRUPTED:
        try:
            wait_for_others(part, meeting, watch)
        except KeyboardInterrupt:
            return INTERRUPTED
    return stopped_by


def wait_for_others(
    part: Part,
    meeting: Meeting,
    watch: Watch,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Come back when all rows are there.

    Raises:
        V2DropError: a process ended before it had asked its own.
    """
    began = news = now()
    done = meeting.done
    while True:
        watch.check()
        # Before the rows are looked at: who ended since then has written its last.
        alive = meeting.look_for(part.awaited)
        meeting.journal.look()
        if meeting.done != done:
            done, news = meeting.done, now()
        if done == meeting.asked:
            return
        watch.on_progress(Progress(Phase.OTHERS, done, meeting.asked))
        silent = now() - news > NEWS_S
        # One that nobody has seen yet may be about to begin.
        late = now() - began > START_S
        for shard, lives in alive.items():
            gone = silent if lives is None else not lives and (late or shard in meeting.seen)
            if gone and meeting.missing(shard):
                raise _dead(shard, meeting)
        pause(PAUSE_S)


def _dead(shard: Shard, meeting: Meeting) -> V2DropError:
    return V2DropError(
        f"process {shard.index + 1} of {shard.count} is gone, and {meeting.missing(shard)} of its "
        "rows are missing",
        hint="what it said on stderr tells why; --resume asks what is missing, with any number of "
        "processes",
    )
