"""Questions about images, from JSONL."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.training.examples import Example, read_examples


def written(tmp_path, text):
    (tmp_path / "a.png").write_bytes(b"")
    path = tmp_path / "questions.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_images_are_named_relative_to_the_file(tmp_path):
    path = written(tmp_path, '{"image": "a.png", "question": "what?"}\n\n')
    assert read_examples(path) == [Example(tmp_path / "a.png", "what?")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 has no image"),
        ('{"image": "a.png"}', "line 2 has no image or no question"),
        ('{"image": 3, "question": "what?"}', "line 2 has no image"),
        ('{"image": "", "question": "what?"}', "line 2 has no image"),
        ('{"image": "b.png", "question": "what?"}', "there is no image"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, said):
    path = written(tmp_path, '{"image": "a.png", "question": "what?"}\n' + line + "\n")
    with pytest.raises(UsageError, match=said) as caught:
        read_examples(path)
    assert "question" in caught.value.hint


def test_a_file_without_questions(tmp_path):
    with pytest.raises(UsageError, match="no questions"):
        read_examples(written(tmp_path, "\n"))
    with pytest.raises(UsageError, match="cannot read"):
        read_examples(tmp_path / "missing.jsonl")
