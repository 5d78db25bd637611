"""The first row that can be asked, and what is said where there is none."""

from __future__ import annotations

import pytest

from v2drop_cli.bench import askable
from v2drop_cli.bench.askable import first_askable, nothing_askable
from v2drop_cli.errors import MediaArgumentError, V2DropError
from v2drop_cli.records.journal import RowResult
from v2drop_cli.tasks.rows import Row


def row(number, missing=False):
    def show(frames):
        if missing:
            raise MediaArgumentError(f"{number}.png is not there", hint="look for it")
        return [f"{frames} frames of {number}"]

    return Row(number, f"question {number}", ("yes",), show)


@pytest.fixture
def prepared(monkeypatch):
    """What passes are made of, in place of passes over it."""
    monkeypatch.setattr(askable, "Passes", lambda subject, nvml: (subject, nvml))


def test_the_first_that_can_be_asked_is_taken_and_no_later_one_is_read(prepared):
    read = []

    def rows():
        for number in range(4):
            read.append(number)
            yield row(number, missing=number < 2)

    subject, nvml = first_askable("a model", rows(), 5, "an nvml", "some.jsonl")
    assert (subject.loaded, subject.prompt, nvml) == ("a model", "question 2", "an nvml")
    assert subject.media == ["5 frames of 2"]
    assert read == [0, 1, 2]


def test_where_none_can_be_asked_the_first_says_why(prepared):
    rows = [row(7, missing=True), row(8, missing=True)]
    with pytest.raises(V2DropError) as caught:
        first_askable("a model", rows, 5, None, "some.jsonl")
    assert caught.value.message == (
        "none of the 2 rows of some.jsonl can be asked; row 7: 7.png is not there"
    )
    assert "relative to the folder" in caught.value.hint


def test_rows_that_were_asked_before_say_the_same():
    refused = [RowResult(3, None, None, broken="torn"), RowResult(4, None, None, broken="late")]
    assert (
        nothing_askable("x", refused).message == "none of the 2 rows of x can be asked; row 3: torn"
    )
