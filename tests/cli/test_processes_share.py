"""`v2drop eval` in several processes: each asks its rows, the first prints and writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import v2drop_cli
from tests.checkpoints import save_checkpoint
from tests.cli.test_evaluate import ARMS
from tests.commands.test_evaluate import timeless
from tests.patience import PATIENCE_S
from tests.tasks.questions_file import write_questions
from v2drop_cli.models import loading
from v2drop_cli.report.file_lock import only_writer

LITTLE = ("--batch-size", "2", "--max-new-tokens", "2", "--json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(folder):
    return v2drop_cli.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def ask(v2drop, folder, model, monkeypatch):
    """`v2drop eval` in this process, as the one of a rank."""
    monkeypatch.setattr(loading, "load", lambda name, options: model)

    def call(path, *args, rank=None, count=2):
        with monkeypatch.context() as patch:
            if rank is not None:
                for name, value in environment(rank, count).items():
                    patch.setenv(name, value)
            return v2drop("eval", path, "--model", folder, *args, *ARMS, *LITTLE)

    return call


def environment(rank, count):
    return {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}


def found_by(result):
    assert result.code == 0, result.err
    return {**timeless(json.loads(result.out)), "command": None}


def test_two_real_processes_find_what_one_does(ask, folder, tmp_path):
    path, run = write_questions(tmp_path), tmp_path / "run"
    arguments = ["eval", path, "--model", folder, "--output", run, *ARMS, *LITTLE]
    command = [sys.executable, "-m", "v2drop_cli", *map(str, arguments)]
    both = [
        subprocess.Popen(
            command,
            env={**os.environ, **environment(rank, 2)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[1] == ("", "")
    assert "processes: 2 share the rows" in said[0][1]
    assert sorted(one.name for one in run.iterdir()) == [
        "evaluation.json", "rows.1-of-2.jsonl", "rows.2-of-2.jsonl",
    ]  # fmt: skip
    document = json.loads(said[0][0])
    assert document == json.loads((run / "evaluation.json").read_text("utf-8"))
    alone = found_by(ask(path))
    assert {**timeless(document), "command": None} == alone
    # One process goes on with what two began, and finds nothing left to ask.
    again = ask(path, "--output", run, "--resume")
    assert found_by(again) == alone
    assert "rows:" not in again.err


def test_all_but_the_first_are_silent_and_errors_are_not(ask, tmp_path):
    path, run = write_questions(tmp_path), tmp_path / "run"
    ask(path, rank=1).refused(2, "none is named", "--output DIR")
    ask(path, "--output", run, "--shard", "1/2", rank=1).refused(2, "--shard in one of 2")
    ask(path, "--output", run, rank=2).refused(2, "RANK=2 with WORLD_SIZE=2")
    second = ask(path, "--output", run, rank=1)
    assert (second.code, second.out, second.err) == (0, "", "")
    assert [one.name for one in run.iterdir()] == ["rows.2-of-2.jsonl"]
    ask(path, "--output", run, rank=1).refused(2, "holds a run already")
    other = ask(path, "--output", run, "--seed", "1", rank=0)
    assert (other.code, other.out) == (2, "")
    assert "another seed: 0, now 1" in other.err
    first = ask(path, "--output", run, rank=0)
    assert "processes: 2 share the rows" in first.err
    assert found_by(first) == found_by(ask(path))


def test_runs_of_different_numbers_of_processes_do_not_interleave(ask, tmp_path):
    path, run = write_questions(tmp_path), tmp_path / "run"
    ask(path, "--output", run, rank=1)
    with only_writer(run / "rows.2-of-2.jsonl"):
        ask(path, "--output", run, "--resume").refused(2, "rows.2-of-2.jsonl", "another v2drop")
        ask(path, "--output", run, "--resume", "--shard", "1/3").refused(2, "another v2drop")
        ask(path, "--output", run, "--resume", rank=1).refused(2, "another v2drop")
    assert [one.name for one in run.iterdir()] == ["rows.2-of-2.jsonl"]


def test_jobs_of_an_array_and_whoever_is_last(ask, tmp_path):
    path, run = write_questions(tmp_path), tmp_path / "run"
    ask(path, "--shard", "1/2").refused(2, "none is named")
    ask(path, "--output", run, "--shard", "3/2").refused(2, "--shard '3/2'", "K/N")
    first = ask(path, "--output", run, "--shard", "2/2")
    assert (first.code, first.out) == (0, "")
    assert "shard 2/2 has its rows" in first.err
    with only_writer(run / "evaluation.json"):  # another one was last in the same moment
        last = ask(path, "--output", run, "--shard", "1/2")
    assert (last.code, last.out) == (0, "")
    assert not (run / "evaluation.json").exists()
    again = ask(path, "--output", run, "--shard", "1/2", "--resume")
    alone = found_by(ask(path))
    assert found_by(again) == alone
    assert (run / "evaluation.json").exists()
    assert found_by(ask(path, "--output", run, "--resume")) == alone


def test_a_launcher_that_started_one_process_is_told_of(ask, tmp_path, monkeypatch):
    """`accelerate launch --cpu --num_processes 2` starts one, and says nothing."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    result = ask(write_questions(tmp_path))
    assert "processes: 1, for all rows" in result.err
