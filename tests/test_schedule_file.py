"""Schedules in files: what is read, what is written, and what is told of files that hold none."""

from __future__ import annotations

import json

import pytest

from v2drop_cli.errors import ScheduleError
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.schedule_file import LONGEST, SCHEMA, schedule_of, written

FOUND = Schedule((Drop(3, 0.4691), Drop(17, 0.4691), Drop(22, 0.0)))


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "a schedule.json"
    path.write_text(written(FOUND, "v2drop", {"by": "v2drop tune"}), encoding="utf-8")
    assert schedule_of(f"@{path}") == FOUND
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document == {
        "schema": "v2drop.schedule/1",
        "schedule": "3:0.4691,17:0.4691,22:0",
        "method": "v2drop",
        "found": {"by": "v2drop tune"},
    }


def test_a_file_may_be_written_by_hand(tmp_path):
    path = tmp_path / "schedule.txt"
    path.write_text("\ufeff# by hand\n\n3:0.5, 17:30%,  # late\r\n22:0\n", encoding="utf-8")
    assert schedule_of(f"@{path}") == Schedule.parse("3:0.5,17:30%,22:0")


def test_what_is_no_file_is_a_schedule():
    assert schedule_of("3:0.5") == Schedule.parse("3:0.5")
    assert schedule_of(FOUND) is FOUND
    with pytest.raises(ScheduleError, match="cannot read '3'"):
        schedule_of("3")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the schedule is empty"),
        (b"# nothing\n", "the schedule is empty"),
        (b"3:0.5\n2:0.5\n", "layer 2 comes after layer 3"),
        (b"{", "no sound JSON"),
        (b"{}", "another document than a schedule"),
        (b'{"schema": "v2drop.report/1", "schedule": "3:0.5"}', "another document"),
        (f'{{"schema": "{SCHEMA}", "schedule": ["3:0.5"]}}'.encode(), "another document"),
        (f'{{"schema": "{SCHEMA}", "schedule": "3:2"}}'.encode(), "2 is outside 0 to 1"),
        (b'{"a":' * 9999, "no sound JSON"),
        (b"\xff\xfe3", "no UTF-8 text"),
        (b"#" * (LONGEST + 1), "longer than 1 MiB"),
        (b"[3, 0.5]", "cannot read"),
    ],
)  # fmt: skip
def test_what_holds_no_schedule_is_told_with_its_name(tmp_path, content, said):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ScheduleError, match=said) as caught:
        schedule_of(f"@{path}")
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint


def test_a_file_of_the_most_bytes_is_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"3:0.5\n#".ljust(LONGEST, b"x"))
    assert str(schedule_of(f"@{path}")) == "3:0.5"


@pytest.mark.parametrize("name", ["", ".", "gone.json", "a\x00b"])
def test_what_cannot_be_read_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScheduleError, match=r"cannot be read|names no file") as caught:
        schedule_of(f"@{name}")
    assert caught.value.exit_code == 2
    assert caught.value.hint
