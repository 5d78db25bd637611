"""Parts of an evaluation: every batch is somebody's, and every part has a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2drop_cli.errors import OutputPathError, UsageError
from v2drop_cli.records.shards import Shard, rivals, row_files, rows_file


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_each_row_is_of_one_part_and_batches_stay_whole(count, size):
    shards = [Shard(index, count) for index in range(count)]
    rows = [list(shard.rows(11, size)) for shard in shards]
    assert sorted(row for each in rows for row in each) == list(range(11))
    for row in range(11):
        [owner] = [shard for shard, each in zip(shards, rows, strict=True) if row in each]
        assert owner.takes(row // size)
        assert row - row % size in rows[owner.index]


def test_parts_are_named_from_one_on():
    shard = Shard.parse("3/10")
    assert (shard.index, shard.count, shard.file_name) == (2, 10, "rows.3-of-10.jsonl")
    assert Shard.of(Path("somewhere") / shard.file_name) == shard
    assert Shard.parse("1/1").file_name == "rows.jsonl"
    assert [str(other) for other in Shard(1, 3).others] == ["1/3", "3/3"]
    assert Shard().others == ()


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2", "١/٢"]
)
def test_what_is_no_part_is_refused(text):
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_files_of_another_number_of_parts_are_rivals(tmp_path):
    names = ["rows.1-of-2.jsonl", "rows.2-of-2.jsonl", "rows.2-of-3.jsonl", "rows.jsonl"]
    for name in (*names, "rows.0-of-2.jsonl", "rows.x.jsonl", "evaluation.json", "rows.jsonl.bak"):
        (tmp_path / name).touch()
    assert [path.name for path in row_files(tmp_path)] == names
    assert [path.name for path in rivals(tmp_path / names[1])] == names[2:]
    assert [path.name for path in rivals(tmp_path / names[3])] == names[:3]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputPathError):
        rows_file(tmp_path / "file" / "run", Shard())
    path = rows_file(tmp_path / "a" / "b", Shard(0, 2))
    assert path.parent.is_dir()
    assert path.name == "rows.1-of-2.jsonl"
