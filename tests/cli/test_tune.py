"""`v2drop tune` from the command line: the folder, the schedule that it writes, and refusals."""

from __future__ import annotations

import json

import pytest

from tests.tasks.questions_file import add_line, write_questions
from tests.tasks.tables.table_files import as_a_table, questions, write_parquet
from tests.tuning.small import small_model
from v2drop_cli.models import loading
from v2drop_cli.report.file_lock import only_writer
from v2drop_cli.schedule_file import schedule_of

QUICK = ("--sampler", "random", "--max-new-tokens", 2, "--batch-size", 8)


@pytest.fixture
def tune(v2drop, monkeypatch):
    """`v2drop tune` on one small model, loaded once."""
    model = small_model()  # before the patch: it is loaded by what is patched
    monkeypatch.setattr(loading, "load", lambda name, options: model)
    return lambda *args: v2drop("tune", *args, *QUICK)


def test_the_schedule_that_it_writes_is_one_that_eval_takes(tune, v2drop, tmp_path):
    path, folder, page = write_questions(tmp_path), tmp_path / "tuned", tmp_path / "page.md"
    more = ("--output", folder, "--export-md", page, "--trials", 2, "--budget", "40%")
    result = tune(path, *more, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document == json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    assert document["schema"] == "v2drop.tune/1"
    assert document["summary"] in page.read_text(encoding="utf-8").replace("\\", "")
    files = sorted(one.name for one in folder.iterdir())
    assert files == ["schedule.json", "trials.jsonl", "tuning.json"]
    best = document["trials"][document["tuned"]]
    written = json.loads((folder / "schedule.json").read_text(encoding="utf-8"))
    assert (written["schedule"], written["method"]) == (best["schedule"], "v2drop")
    assert written["found"]["finding"] == document["summary"]
    assert written["found"]["by"].startswith(f"v2drop tune {path}")
    named = f"@{folder / 'schedule.json'}"
    assert str(schedule_of(named)) == best["schedule"]
    used = v2drop("eval", path, "--schedule", named, "--max-new-tokens", 2, "--json")
    assert used.code == 0, used.err
    assert json.loads(used.out)["arms"][1]["schedule"] == best["schedule"]

    tune(path, *more).refused(2, "holds a run already")
    again = tune(path, *more, "--resume")
    assert again.code == 0, again.err
    assert "trials:" not in again.err  # nothing was left to try
    for said in ("goal", "search", "Held out: 3 rows", "to the default's", "use"):
        assert said in again.out, said
    tune(path, *more, "--resume", "--seed", 1).refused(2, "another seed: 0, now 1")


def test_the_schedule_can_go_elsewhere_and_questions_come_from_a_table(tune, tmp_path):
    path, file = as_a_table(write_questions(tmp_path)), tmp_path / "mine.json"
    given = (path, "--columns", "answers=gold", "--budget", "40%", "--trials", 1)
    result = tune(*given, "--export", file, "--output", tmp_path / "kept")
    assert result.code == 0, result.err
    taken = "question=query,image=pictures,answers=gold,group=group"
    assert result.err.count(f"Reading columns {taken}\n") == 1
    tune(*given, "--export-md", path).refused(2, "is read, or")
    assert str(schedule_of(f"@{file}")) in result.out
    assert f"Wrote {file}" in result.err
    assert (tmp_path / "kept" / "schedule.json").read_bytes() == file.read_bytes()


def test_splits_to_search_on_and_to_hold_out(v2drop, tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / "t" / f"{split}.parquet", questions(2))
    folder, budget = tmp_path / "t", ("--budget", "40%")
    v2drop("tune", folder, *budget).refused(2, "several splits: test, train")
    one = (folder, *budget, "--split", "train")
    v2drop("tune", *one, "--holdout-split", "test").refused(2, "no --holdout is named")
    v2drop("tune", *one, "--holdout", folder).refused(2, "several splits: test, train")
    both = (*one, "--holdout", folder, "--holdout-split", "test")
    v2drop("tune", *both, "--columns", "group=gone").refused(2, "no column 'gone'")
    held_out = folder / "test.parquet"
    v2drop("tune", *both, "--export-md", held_out).refused(2, "is read, or")


def test_two_searches_do_not_write_into_one_folder(tune, tmp_path):
    path, folder = write_questions(tmp_path), tmp_path / "run"
    folder.mkdir()
    with only_writer(folder / "trials.jsonl"):
        tune(path, "--budget", "40%", "--output", folder).refused(2, "another v2drop")


def test_what_means_nothing_is_refused_before_a_model_is_loaded(v2drop, tmp_path):
    path = write_questions(tmp_path)
    v2drop("tune", path).refused(2, "a budget or for a tolerated loss")
    v2drop("tune", path, "--budget", "33%", "--tolerate", "1%").refused(2, "one of the two")
    v2drop("tune", path, "--budget", "a third").refused(2, "'a third' is no number")
    v2drop("tune", path, "--tolerate", "2").refused(2, "--tolerate '2' is no share")
    v2drop("tune", path, "--budget", "33%", "--method", "v2dorp").refused(2, "mean v2drop")
    v2drop("tune", path, "--budget", "33%", "--resume").refused(2, "--output DIR")
    v2drop("tune", path, "--budget", "33%", "--holdout", "gone.jsonl").refused(2, "gone.jsonl")
    v2drop("tune", path, "--budget", "33%", "--sampler", "cma").refused(2, "unknown sampler")
    v2drop("tune", path, "--budget", "33%", "--export", path).refused(2, "read, or")
    add_line(path, image="0.png", question="what is it?")
    v2drop("tune", path, "--budget", "33%", "--metric", "anls").refused(2, "without answers")
