"""Which data a name means; what is no data is refused by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks import sources
from v2drop_cli.tasks.sources import open_data

SAMPLES = Path(__file__).parents[2] / "sample_media"


@pytest.mark.parametrize(("name", "form"), [("scene.png", "PNG"), ("cat.jpg", "JPEG")])
def test_a_picture_is_no_file_of_questions(name, form, tmp_path):
    renamed = tmp_path / "questions.jsonl"  # what it is, not what it is called
    renamed.write_bytes((SAMPLES / name).read_bytes())
    with pytest.raises(UsageError, match=rf"is a picture \({form}\)") as refused:
        open_data(str(renamed))
    assert "v2drop run --image FILE" in refused.value.hint


def test_an_empty_name_is_no_folder():
    with pytest.raises(UsageError, match="DATA is empty"):
        open_data("")


def test_a_file_that_cannot_be_read_is_told_as_any_other(monkeypatch, tmp_path):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "why?"}\n')
    monkeypatch.setattr(sources, "name_of", refused)
    with pytest.raises(UsageError, match=r"row 0|line 1"):  # what Jsonl itself says of it
        sources.open_data(str(path))
