"""What a line of questions may be, and what is said of one that is none."""

from __future__ import annotations

import json

import pytest

from tests.tasks.questions_file import add_line, write_pictures
from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.sources import open_data


@pytest.fixture
def path(tmp_path):
    write_pictures(tmp_path)
    return tmp_path / "questions.jsonl"


def rows(path):
    return list(Jsonl(str(path)).rows())


def test_every_form_of_a_line(path):
    add_line(path, image="0.png", question="what?", answer=3, group=1, id={"other": []})
    add_line(path, images=["0.png", "1.png"], question="what?", answers=["a", 2.5])
    add_line(path, image="0.png", question="which?", answer="dog", choices=["cat", "dog"])
    add_line(path, image="0.png", question="which?", answer="B", choices=["cat", "dog"])
    one, two, three, four = rows(path)
    assert (one.answers, one.group, one.number) == (("3",), "1", 0)
    assert two.answers == ("a", "2.5")
    assert [item.path.name for item in two.show(8)] == ["0.png", "1.png"]
    assert three.answers == four.answers == ("B",)
    assert three.prompt.startswith("which?\nA. cat\nB. dog\n")


def test_the_metric_and_the_labels_are_those_of_all_rows(path):
    choice = {"image": "0.png", "question": "which?", "answer": "A", "choices": ["cat", "dog"]}
    add_line(path, **choice)
    assert (Jsonl(str(path)).metric, Jsonl(str(path)).labelled) == ("multiple_choice", True)
    add_line(path, image="0.png", question="what?")
    assert (Jsonl(str(path)).metric, Jsonl(str(path)).labelled) == ("exact_match", False)


def test_signs_of_other_systems_and_blank_lines_are_no_matter(path):
    line = json.dumps({"image": "0.png", "question": "wäs?", "answer": "x"}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf\r\n" + f"{line}\r\n\r\n{line}".encode())
    assert [row.asked for row in rows(path)] == ["wäs?", "wäs?"]
    digest = Jsonl(str(path)).digest
    path.write_bytes(path.read_bytes() + b"\n")
    assert Jsonl(str(path)).digest != digest


def test_the_line_is_named_as_an_editor_counts(path):
    path.write_text('{"image": "0.png", "question": "what?"}\n\n{"question": "what?"}\n')
    with pytest.raises(UsageError, match="line 3: no image and no video"):
        Jsonl(str(path))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"question": ""}, "question is empty"),
        ({"question": 3}, "question 3 is no text"),
        ({"images": ["0.png"]}, "image and images together"),
        ({"answers": ["a"], "answer": "a"}, "answers and answer together"),
        ({"answer": True}, "answer True is no text"),
        ({"choices": ["a"]}, "choices are 2 to 26"),
        ({"choices": ["a", "a"]}, "choices are 2 to 26"),
        ({"choices": ["a", "b"], "answer": "C"}, "'C' is none of the choices"),
        ({"group": ["a"]}, "group ['a'] is no text"),
        ({"image": "a\x00b"}, "image names no file"),
    ],
)
def test_what_is_no_question_is_said(path, fields, said):
    add_line(path, **{"image": "0.png", "question": "what?", **fields})
    with pytest.raises(UsageError) as caught:
        Jsonl(str(path))
    assert said in caught.value.message


def test_a_name_is_a_built_in_task_or_a_file(path, monkeypatch):
    add_line(path, image="0.png", question="what?")
    assert open_data(str(path)).count == 1
    assert open_data("shapes").count == 288
    monkeypatch.chdir(path.parent)
    (path.parent / "shapes").symlink_to(path)
    assert open_data("shapes").count == 288
    assert open_data("./shapes").count == 1
    with pytest.raises(UsageError, match="gone"):
        open_data("gone")
