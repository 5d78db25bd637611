"""`v2drop eval` of tables: the same as of a JSONL with these rows, and what is said of columns."""

from __future__ import annotations

import csv
import json

import pytest

import v2drop_cli
from tests.checkpoints import save_checkpoint
from tests.tasks.questions_file import write_questions
from tests.tasks.tables.table_files import as_a_table, questions, stored, write_parquet
from v2drop_cli.models import loading

TIMES = ("prefill_s", "decode_s_per_token")
ARMS = ("--schedule", "2:0.5", "--max-new-tokens", 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return v2drop_cli.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def ask(v2drop, model, monkeypatch):
    """`v2drop eval` on one small model, loaded once."""
    monkeypatch.setattr(loading, "load", lambda name, options: model)
    return lambda *args: v2drop("eval", *args, *ARMS)


def answers(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_a_table_is_answered_as_the_same_rows_of_a_jsonl(ask, tmp_path):
    lines = write_questions(tmp_path, 3)
    folder, one, other = as_a_table(lines).parent, tmp_path / "1.csv", tmp_path / "2.csv"
    assert ask(lines, "--export-csv", one).code == 0
    kept = ("--output", tmp_path / "run", "--json")
    result = ask(folder, "--columns", "answers=gold", "--export-csv", other, *kept)
    assert result.code == 0, result.err
    taken = "question=query,image=pictures,answers=gold,group=group"
    assert f"Reading split test, columns {taken}\n" in result.err
    assert json.loads(result.out)["data"]["columns"] == taken
    assert answers(one) == answers(other)
    assert len(answers(one)) == 6

    resumed = (folder, "--output", tmp_path / "run", "--resume", "--columns")
    for columns, other in (("answers=gold,group=", "columns"), ("answers=gold", "DATA")):
        if other == "DATA":
            as_a_table(write_questions(tmp_path, 2))
        result = ask(*resumed, columns)
        assert (result.code, result.out) == (2, "")
        assert f"had another {other}: " in result.err


def test_a_row_without_a_picture_is_counted_and_stops_nothing(ask, tmp_path):
    made = questions(3, image=stored(1, None, 3))
    result = ask(write_parquet(tmp_path / "a.parquet", made), "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert (document["rows"], [one["row"] for one in document["broken"]]) == (2, [1])
    assert document["broken"][0]["reason"].endswith("a.parquet, row 1: no image")


def test_nothing_is_written_over_a_table_or_half(v2drop, tmp_path):
    path = write_parquet(tmp_path / "t" / "a.parquet", questions(2))
    v2drop("eval", path.parent, "--export-csv", path).refused(2, "is read, or")
    path.write_bytes(path.read_bytes()[:-9])
    folder = tmp_path / "run"
    v2drop("eval", path.parent, "--output", folder).refused(2, "cannot be read")
    assert not folder.exists()
    v2drop("eval", path, "--columns", "queston=a").refused(2, "did you mean question?")
    v2drop("eval", path, "--split", "test").refused(2, "no folder of splits")
