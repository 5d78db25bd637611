"""`v2drop eval` from the command line: the table, the folder, and 200 hostile files."""

from __future__ import annotations

import csv
import json
import os
import random

import pytest

import v2drop_cli
from tests.checkpoints import save_checkpoint
from tests.tasks.questions_file import write_pictures, write_questions
from v2drop_cli.errors import UsageError
from v2drop_cli.models import loading
from v2drop_cli.records.evaluation import SCHEMA
from v2drop_cli.report.file_lock import only_writer
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.scores.known import metric_for

ARMS = ("--method", "v2drop", "--method", "random", "--schedule", "2:0.5")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return v2drop_cli.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def ask(v2drop, model, monkeypatch):
    """`v2drop eval` on one small model, loaded once."""
    monkeypatch.setattr(loading, "load", lambda name, options: model)
    return lambda *args: v2drop("eval", *args, *ARMS)


def test_the_table_and_the_folder_say_the_same(ask, tmp_path):
    path, folder = write_questions(tmp_path), tmp_path / "run"
    page, answers, shown = (tmp_path / name for name in ("page.md", "answers.csv", "page.html"))
    more = ("--output", folder, "--export-md", page, "--export-csv", answers)
    more = (*more, "--export-html", shown)
    result = ask(path, "--json", "--batch-size", 2, "--max-new-tokens", 2, *more)
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document == json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert document["schema"] == SCHEMA == "v2drop.eval/1"
    assert [arm["label"] for arm in document["arms"]] == ["dense", "v2drop 2:0.5", "random 2:0.5"]
    assert document["rows"] == document["data"]["rows"] == 6
    assert document["command"].startswith(f"v2drop eval {path}")
    assert {group["group"] for group in document["arms"][0]["groups"]} == {"g0", "g1"}
    assert document["summary"] in page.read_text(encoding="utf-8").replace("\\", "")
    html = shown.read_text(encoding="utf-8")
    assert document["command"] in html
    for part in ("glance", "front", "answers"):
        assert f'id="{part}"' in html
    told = list(csv.DictReader(answers.read_text(encoding="utf-8").splitlines()))
    assert len(told) == 6 * 3
    assert sorted(one.name for one in folder.iterdir()) == ["evaluation.json", "rows.jsonl"]

    ask(path, "--batch-size", 2, "--output", folder).refused(2, "holds a run already")
    again = ask(path, "--batch-size", 2, "--max-new-tokens", 2, "--output", folder, "--resume")
    assert again.code == 0, again.err
    for said in ("data", "Dense scores", "of dense", "gained/lost", "Score by group", "g0 (3)"):
        assert said in again.out, said
    assert "rows:" not in again.err  # nothing was left to ask
    ask(path, "--batch-size", 2, "--output", folder, "--resume", "--seed", 1).refused(
        2, "another seed: 0, now 1"
    )


def test_where_one_row_lacks_answers_it_is_said_that_none_is_scored(ask, tmp_path):
    path = write_questions(tmp_path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:2]
    del lines[1]["answers"]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    told = ask(path, "--fidelity", "--max-new-tokens", 2)
    assert told.code == 0, told.err
    assert "Not all rows have answers, so none is scored\n" in told.err
    assert "Dense scores" not in told.out
    assert f"{path.name}: 2 rows" in told.out
    one = ask(path, "--fidelity", "--limit", 1, "--max-new-tokens", 2)
    assert f"{path.name}: 1 of 2 rows" in one.out


def test_two_runs_do_not_write_into_one_folder(ask, tmp_path):
    path, folder = write_questions(tmp_path), tmp_path / "run"
    folder.mkdir()
    with only_writer(folder / "rows.jsonl"):
        ask(path, "--output", folder).refused(2, "another v2drop")
    assert [*folder.iterdir()] == []


def test_what_means_nothing_is_refused_before_a_model_is_loaded(v2drop, tmp_path):
    path = write_questions(tmp_path)
    v2drop("eval", path, "--metric", "blue").refused(2, "unknown metric 'blue'", "exact_match")
    v2drop("eval", path, "--metric", "multiple_choice").refused(2, "without choices")
    v2drop("eval", path, "--resume").refused(2, "--output DIR")
    v2drop("eval", path, "--workers", 3).refused(2, "--workers is of --engine ray")
    v2drop("eval", "shapes:blue").refused(2, "shapes:blue")
    v2drop("eval", tmp_path).refused(2, "is a folder without questions")
    v2drop("eval", path, "--output", path).refused(2, "cannot make the folder")
    v2drop("eval", path, "--output", tmp_path / "r", "--export-md", path).refused(2, "read, or")


# Files that are no questions, or bad ones ------------------------------------------------------

GOOD = {"image": "0.png", "question": "what is it?", "answers": ["red"]}
VALUES = (
    None, True, 0, -1.5, 1e999, float("nan"), "", " ", "\x00", "\ud800", "\u202e\u0301\U0001f600",
    [], [[]], [["a"]], [None], [{}], {}, {"a": {"b": []}}, "x" * 5000, ["0.png"] * 70, 10**400,
)  # fmt: skip
FIELDS = ("image", "images", "video", "question", "answers", "answer", "choices", "group")
FILES = (
    b"", b"\n\n \n", b"\x00" * 50, b"\xff\xfe" + "{}".encode("utf-16-le"), b"\xef\xbb\xbf",
    b"{", b"[]", b"null", b"1", b'"a"', b"{}", b"{'image': 'a'}", b'{"image": "0.png"}',
    b"[" * 99999, b'{"a":' * 9999, b"not json", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
    b"\x1f\x8b\x08\x00" * 20,
    b'{"image": "0.png", "question": "\xe9", "answers": ["a"]}', b"a,b\n1,2\n", b"x" * 10_000_000,
    b'{"question": "' + b"y" * 10_000_000 + b'"}', b"---\nimage: 0.png\n", b"<html></html>",
)  # fmt: skip
PATHS = (
    "/etc/passwd", "../../../../etc/passwd", "/dev/zero", "/dev/null", "/proc/self/mem", "loop.png",
    "folder", "pipe.png", "gone.png", "a" * 300 + ".png", "a\nb.png", "bild-ü-图.png", "file:///etc",
    "https://example.org/a.png", "data:image/png;base64,AAAA", "0.png/", "./0.png", "~/0.png", "*",
    "questions.jsonl", "empty.png", "-rf", "\x1b[31m.png", "C:\\a.png", "//", ".",
)  # fmt: skip


def hostile():
    """Pairs of a name and a file's bytes; each value once alone and once behind good lines."""
    good = json.dumps(GOOD).encode() + b"\n"
    for number, data in enumerate(FILES):
        yield f"file {number}", data
    for field in FIELDS:
        for number, value in enumerate(VALUES):
            fields = {k: v for k, v in GOOD.items() if field != "images" or k != "image"}
            line = json.dumps({**fields, field: value}).encode()
            # In turn, so that a third of them stand in the first line.
            yield f"{field} {number}", (good * (number % 3)) + line
    for number, path in enumerate(PATHS):
        yield f"path {number}", json.dumps({**GOOD, "image": path}).encode() + b"\r\n"
    yield "bom and crlf", b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n") * 2
    yield "no end", good + good.strip()


CASES = list(hostile())


def test_there_are_two_hundred():
    assert len({data for _, data in CASES}) >= 200


@pytest.fixture
def desk(tmp_path):
    """A folder with traps beside a picture."""
    write_pictures(tmp_path, 1)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    return tmp_path


OF_EACH = 12
"""So many of those refused, and so many of the others, go through the whole command."""


def refusal(path):
    """Why the data are refused, if they are. Its files need not be there, or be pictures."""
    try:
        metric_for(Jsonl(str(path)), None, fidelity=False)
    except UsageError as error:
        return error
    return None


@pytest.mark.slow
def test_hostile_files_get_one_clear_line_each_and_nothing_half_written(ask, desk):
    path, left = desk / "questions.jsonl", []
    for number, (name, data) in enumerate(random.Random(0).sample(CASES, len(CASES))):
        path.write_bytes(data)
        error = refusal(path)
        if error is not None:
            assert error.message.startswith(str(path)), name
            assert len(error.message) < 500, name
            assert error.hint is not None, name
        if sum((code == 2) == (error is not None) for code in left) >= OF_EACH:
            continue
        folder = desk / f"out-{number}"
        result = ask(path, "--output", folder, "--max-new-tokens", 1)
        left.append(result.code)
        assert (result.code == 2) == (error is not None), name
        if result.code == 2:
            result.refused(2, "questions.jsonl")
            assert not folder.exists(), name
        elif result.code == 1:
            result.refused(1, "none of the")
            assert not (folder / "evaluation.json").exists(), name
        else:
            assert result.code == 0, (name, result.err)
            assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["rows"]
    assert {0, 1, 2} == set(left)
