"""Trials on disk, and the document."""

from __future__ import annotations

import json

import pytest

from tests.report.tune_factory import tuned
from v2drop_cli.errors import UsageError
from v2drop_cli.records.journal import Journal
from v2drop_cli.records.tuning import SCHEMA, Trial, TrialJournal


def test_a_trial_is_read_as_it_was_written():
    for trial in (*tuned().trials, *tuned(by_score=True).trials):
        assert Trial.read(json.loads(trial.line())) == trial


def test_the_rows_of_another_command_are_not_its_trials(tmp_path):
    path = tmp_path / "x.jsonl"
    Journal(path).begin({"seed": 0})
    with pytest.raises(UsageError, match="not the trials of a search"):
        TrialJournal(path, resume=True)


def test_the_document_holds_everything():
    found = tuned()
    document = json.loads(found.dumps())
    assert document["schema"] == SCHEMA == "v2drop.tune/1"
    assert document["trials"][found.tuned]["schedule"] == found.best.schedule
    assert [side["name"] for side in document["sides"]] == ["calibration", "held out"]
    said = found.found()
    assert (said["model"], said["trial"], said["seed"]) == ("llava-1.5-7b", found.tuned, 0)
    assert said["search"]["budget"] == pytest.approx(1 / 3)
