"""Several processes on one evaluation: who waits for whom, and who is given up."""

from __future__ import annotations

import pytest

from tests.records.test_journal import result
from v2drop_cli.bench.watch import Phase, Watch
from v2drop_cli.commands import meeting
from v2drop_cli.commands.meeting import Meeting, Part, Table, gathered, wait_for_others
from v2drop_cli.errors import V2DropError
from v2drop_cli.records import INTERRUPTED
from v2drop_cli.records.evaluation import ALL_ROWS
from v2drop_cli.records.journal import Journal
from v2drop_cli.records.shards import Shard

FIRST = Part(Shard(0, 2), Table.WHEN_ALL_ARE_THERE)
ASKED = 4


@pytest.fixture
def folder(tmp_path):
    """The first of two processes has asked its rows, the second has begun."""
    own, other = (Journal(tmp_path / f"rows.{k}-of-2.jsonl") for k in (1, 2))
    for journal in (own, other):
        journal.begin({"seed": 0})
    own.append([result(0), result(2)])
    return own, other


class Clock:
    """Time that passes when somebody waits; at each waiting something may happen."""

    def __init__(self, *happens):
        self.time, self.happens = 0.0, list(happens)

    def pause(self, seconds):
        self.time += seconds
        if self.happens:
            self.happens.pop(0)()

    def now(self):
        return self.time


def wait(own, lives, clock, watch=None):
    place = Meeting(own, ASKED, 1, lambda path: lives())
    wait_for_others(FIRST, place, watch or Watch(), clock.pause, clock.now)


def test_the_first_waits_until_all_rows_are_there(folder):
    own, other = folder
    told = []
    clock = Clock(
        lambda: other.append([result(1)]), lambda: None, lambda: other.append([result(3)])
    )
    wait(
        own, lambda: True, clock, Watch(on_progress=lambda one: told.append((one.phase, one.done)))
    )
    assert [one.row for one in own.results] == [0, 1, 2, 3]
    assert told == [(Phase.OTHERS, done) for done in (2, 3, 3)]
    assert clock.time == 3 * meeting.PAUSE_S


def test_rows_beyond_those_asked_are_no_answer(folder):
    own, other = folder
    own.append([result(4)])  # of a run with a larger limit
    other.append([result(1)])
    clock = Clock(lambda: other.append([result(3)]))
    wait(own, lambda: True, clock)
    assert clock.time == meeting.PAUSE_S


def test_one_that_lived_and_is_gone_is_given_up_at_once(folder):
    own, other = folder
    other.append([result(1)])
    lives = iter([True, True, False])
    clock = Clock()
    with pytest.raises(V2DropError) as refused:
        wait(own, lambda: next(lives), clock)
    assert "process 2 of 2 is gone, and 1 of its rows are missing" in refused.value.message
    assert "--resume" in refused.value.hint
    assert clock.time == 2 * meeting.PAUSE_S


def test_one_that_ends_when_it_is_done_is_not_gone(folder):
    own, other = folder
    lives = iter([True, False])
    wait(own, lambda: next(lives), Clock(lambda: other.append([result(1), result(3)])))
    assert len(own.results) == ASKED


@pytest.mark.parametrize(("lives", "after"), [(False, meeting.START_S), (None, meeting.NEWS_S)])
def test_one_that_nobody_saw_gets_time(folder, lives, after, monkeypatch):
    monkeypatch.setattr(meeting, "PAUSE_S", 20.0)
    own, other = folder
    clock = Clock(*[lambda: None] * 9, lambda: other.append([result(1)]))
    with pytest.raises(V2DropError, match="is gone, and 1 of"):
        wait(own, lambda: lives, clock)
    # Where no lock tells who lives, time counts from the last row that came.
    began = 10 * meeting.PAUSE_S if lives is None else 0
    assert clock.time == began + after + meeting.PAUSE_S


def test_one_that_has_asked_its_rows_may_be_gone(tmp_path):
    own = Journal(tmp_path / "rows.1-of-3.jsonl")
    own.begin({"seed": 0})
    own.append([result(0), result(1), result(3)])
    place = Meeting(own, ASKED, 1, lambda path: "3-of" in path.name)
    place.seen.update(Shard(0, 3).others)
    late = Journal(tmp_path / "rows.3-of-3.jsonl")
    late.begin({"seed": 0})
    clock = Clock(lambda: None, lambda: late.append([result(2)]))
    part = Part(Shard(0, 3), Table.WHEN_ALL_ARE_THERE)
    wait_for_others(part, place, Watch(), clock.pause, clock.now)
    assert clock.time == 2 * meeting.PAUSE_S


# Who makes the table --------------------------------------------------------------------------


def gather(own, table, stopped_by=ALL_ROWS, watch=None):
    part = Part(Shard(0, 2), table)
    return gathered(part, Meeting(own, ASKED, 1, lambda path: True), stopped_by, watch or Watch())


def test_who_makes_the_table(folder):
    own, other = folder
    assert gather(own, Table.AT_ONCE) == ALL_ROWS
    assert gather(own, Table.NEVER) is None
    assert gather(own, Table.IF_ALL_ARE_THERE) is None
    other.append([result(1), result(3)])
    assert gather(own, Table.NEVER) is None
    assert gather(own, Table.IF_ALL_ARE_THERE) == ALL_ROWS
    assert gather(own, Table.WHEN_ALL_ARE_THERE) == ALL_ROWS
    assert len(own.results) == ASKED


def test_an_interrupted_process_makes_a_table_only_for_all(folder):
    own, other = folder
    other.append([result(1)])
    for table in (Table.NEVER, Table.IF_ALL_ARE_THERE):
        with pytest.raises(KeyboardInterrupt):
            gather(own, table, INTERRUPTED)
    assert len(own.results) == 2
    assert gather(own, Table.AT_ONCE, INTERRUPTED) == INTERRUPTED
    assert gather(own, Table.WHEN_ALL_ARE_THERE, INTERRUPTED) == INTERRUPTED
    assert len(own.results) == 3  # what the others have is in it


def test_an_interrupt_ends_the_waiting(folder):
    def check():
        raise KeyboardInterrupt

    assert gather(folder[0], Table.WHEN_ALL_ARE_THERE, watch=Watch(check=check)) == INTERRUPTED


def test_who_prints_and_waits():
    assert [Part(table=table).prints for table in Table] == [True, True, True, False]
    shard = Shard(0, 3)
    assert Part(shard, Table.WHEN_ALL_ARE_THERE).awaited == shard.others
    assert Part(shard, Table.IF_ALL_ARE_THERE).awaited == ()
