"""Rows on disk: whole lines or none, one run a file."""

from __future__ import annotations

import os

import pytest

from v2drop_cli.errors import UsageError, V2DropError
from v2drop_cli.records.journal import ArmAnswer, Journal, RowResult


def result(row, text="red", broken=None):
    arms = {} if broken else {"dense": ArmAnswer(text, (4, 2), 1.0, 36, 12.5, 0.1, None)}
    return RowResult(row, "colours", "red", arms, broken)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    journal = Journal(path)
    journal.begin({"model": "tiny", "seed": 0})
    journal.append([result(1, "a\nb\u2028\ud800"), result(0, broken="gone")])
    journal.append([result(1, "other")])  # each row once, the first time
    assert len(path.read_bytes().splitlines()) == 3
    again = Journal(path, resume=True)
    assert again.results == journal.results
    assert [one.row for one in again.results] == [0, 1]
    assert 1 in again
    assert 2 not in again


def test_a_line_that_was_cut_short_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    journal = Journal(path)
    journal.begin({"seed": 0})
    journal.append([result(0), result(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    again = Journal(path, resume=True)
    assert [one.row for one in again.results] == [0]
    again.append([result(1)])
    assert path.read_bytes() == whole
    path.write_bytes(b'{"schema": "v2dr')  # not even the first line
    again = Journal(path, resume=True)
    again.begin({"seed": 0})
    again.append([result(0), result(1)])
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "data",
    [b"{}\n", b"no\n", b'{"schema": "v2drop.report/1", "settings": {}}\n', b"[1]\n", b"\xff\n",
     b'{"schema": "v2drop.eval-rows/1", "settings": {}}\n{"row": 1}\n'],
)  # fmt: skip
def test_another_file_is_left_as_it_is(tmp_path, data):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not the rows of a run"):
        Journal(path, resume=True)
    assert path.read_bytes() == data


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    journal = Journal(path)
    journal.begin({"seed": 0})
    before = path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(V2DropError, match="No space left"):
        journal.append([result(0)])
    assert path.read_bytes() == before
    assert 0 not in journal


def test_settings_that_are_not_named_may_differ(tmp_path):
    journal = Journal(None)
    journal.begin({"model": "tiny", "seed": 0, "arms": ("a", "b")})
    journal.check({"seed": 0})
    journal.check({"arms": ["a", "b"]})
    with pytest.raises(UsageError, match='another model: "tiny", now "large"'):
        journal.check({"model": "large"})


# Several processes ------------------------------------------------------------------------------


def test_files_of_a_folder_are_one_run(tmp_path):
    first, second = (Journal(tmp_path / f"rows.{k}-of-2.jsonl") for k in (1, 2))
    for journal in (first, second):
        journal.begin({"seed": 0})
    first.append([result(0), result(2)])
    second.append([result(1)])
    assert [one.row for one in first.results] == [0, 2]
    first.look()
    assert [one.row for one in first.results] == [0, 1, 2]
    second.append([result(3)])
    with second.path.open("ab") as file:
        file.write(b'{"row": 5, "gro')  # it is writing
    first.look()
    assert [one.row for one in first.results] == [0, 1, 2, 3]
    # Nobody writes another one's file, or cuts it.
    whole = second.path.read_bytes()
    again = Journal(tmp_path / "rows.jsonl", resume=True)
    again.begin({"seed": 0})
    again.append([result(1, "other"), result(4)])
    assert second.path.read_bytes() == whole
    assert [one.row for one in again.results] == [0, 1, 2, 3, 4]
    assert len(again.path.read_bytes().splitlines()) == 2
    assert all(one.arms["dense"].text == "red" for one in again.results)


def test_only_the_other_parts_of_a_run_that_begins_may_be_there(tmp_path):
    for name in ("rows.1-of-2.jsonl", "rows.3-of-3.jsonl"):
        Journal(tmp_path / name, resume=True).begin({"seed": 0})
    for name in ("rows.jsonl", "rows.1-of-2.jsonl", "rows.1-of-3.jsonl", "rows.2-of-2.jsonl"):
        with pytest.raises(UsageError, match="holds a run already"):
            Journal(tmp_path / name)
    (tmp_path / "rows.3-of-3.jsonl").unlink()
    (tmp_path / "rows.jsonl").touch()  # nobody began there
    Journal(tmp_path / "rows.2-of-2.jsonl")


def test_processes_that_ask_something_else_are_told(tmp_path):
    first, second = (Journal(tmp_path / f"rows.{k}-of-2.jsonl") for k in (1, 2))
    second.begin({"seed": 0})
    second.append([result(1)])
    first.begin({"seed": 1})
    with pytest.raises(UsageError, match="another seed: 0, now 1"):
        first.look()
    with pytest.raises(UsageError, match="another seed"):
        first.check({"seed": 1})


def test_a_writer_that_went_without_having_begun_left_nothing(tmp_path):
    path = tmp_path / "rows.2-of-2.jsonl"
    path.touch()
    journal = Journal(tmp_path / "rows.1-of-2.jsonl")
    path.unlink()
    journal.look()
    assert journal.results == []
