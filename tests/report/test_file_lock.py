"""Two writers of one result file: the second is told; a dead one is no hindrance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S, wait_for
from v2drop_cli.errors import OutputPathError
from v2drop_cli.report import file_lock
from v2drop_cli.report.file_lock import is_written, lock_beside, only_writer, only_writer_beside

HOLDS = """
import sys, time
from pathlib import Path
from v2drop_cli.report.file_lock import only_writer
with only_writer(Path(sys.argv[1])):
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that writes a file, and has begun to."""
    started = []

    def hold(path):
        sign = tmp_path / "holds"
        process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path), str(sign)])
        started.append(process)
        wait_for(sign, process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait(PATIENCE_S)


def test_the_second_is_told_and_told_who_is_first(tmp_path, other):
    path = tmp_path / "r.json"
    first = other(path)
    with pytest.raises(OutputPathError) as refused, only_writer(path):
        pass
    assert f"process {first.pid}" in refused.value.message
    assert lock_beside(path).exists()  # still the first one's
    with only_writer(tmp_path / "another.json"):
        pass


def test_a_killed_writer_is_no_hindrance(tmp_path, other):
    path = tmp_path / "r.json"
    killed = other(path)
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE_S)
    assert lock_beside(path).exists()
    with only_writer(path):
        assert lock_beside(path).read_text() == str(os.getpid())
    assert not lock_beside(path).exists()


def test_nothing_is_left_behind(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")  # no room for a suffix
    for _ in range(2):
        with only_writer(path):
            assert [each.name for each in tmp_path.iterdir()] == [lock_beside(path).name]
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), only_writer(path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_one_file_by_whatever_name(tmp_path):
    path = tmp_path / "r.json"
    (tmp_path / "link.json").symlink_to(path)
    with only_writer(path):
        for name in (tmp_path / "link.json", tmp_path / ".." / tmp_path.name / "r.json"):
            with pytest.raises(OutputPathError), only_writer(name):
                pass


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """The last owner removes it between another's opening and locking."""
    import fcntl

    path, real, calls = tmp_path / "r.json", fcntl.flock, []

    def flock(file, how):
        calls.append(how)
        if len(calls) == 1:
            lock_beside(path).unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with only_writer(path):
        assert len(calls) == 2
        assert lock_beside(path).exists()


@pytest.mark.parametrize("number", file_lock._NO_LOCKS)
def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch, number):
    import fcntl

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_writer(tmp_path / "r.json"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_made_nobody_is_kept_from_writing(tmp_path):
    lock_beside(tmp_path / "r.json").mkdir()  # stands for a full disk, or somebody else's file
    with only_writer(tmp_path / "r.json"):
        pass


def test_who_asks_whether_there_is_a_writer_is_told_and_leaves_nothing(tmp_path):
    path = tmp_path / "r.json"
    assert is_written(path) is False
    with only_writer(path):
        assert is_written(path) is True
    assert is_written(path) is False
    assert [*tmp_path.iterdir()] == []


def test_a_rival_that_is_written_stands_in_the_way_and_one_that_was_does_not(tmp_path):
    ours, theirs, past = (tmp_path / name for name in ("ours", "theirs", "past"))

    def rivals(path):
        return [one for one in (ours, theirs, past) if one.exists() and one != path]

    past.write_text("rows")
    with only_writer_beside(theirs, rivals):
        # It is there for others to find before it has anything in it.
        with pytest.raises(OutputPathError) as refused, only_writer_beside(ours, rivals):
            pass
        assert f"process {os.getpid()}" in refused.value.message
        assert "theirs" in refused.value.message
        assert not ours.exists()
        theirs.write_text("rows")
    with only_writer_beside(ours, rivals):
        assert ours.exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["past", "theirs"]


def test_who_has_a_lock_for_a_moment_is_no_writer(tmp_path, monkeypatch):
    """A process that asks holds it, too; it is tried again."""
    path, waited = tmp_path / "r.json", []
    with only_writer(path):
        monkeypatch.setattr(file_lock.time, "sleep", waited.append)
        with pytest.raises(OutputPathError), only_writer(path):
            pass
    assert waited == [0.02, 0.02]
