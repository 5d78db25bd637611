"""Pictures and videos out of tables: bytes, paths, and what cannot be shown."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.printed import ROOT
from tests.tasks.tables.table_files import png
from v2drop_cli.errors import MediaError, V2DropError
from v2drop_cli.tasks.tables.stored import Stored

CLIP = ROOT / "sample_media" / "clip.mp4"


@pytest.fixture
def show(tmp_path):
    (tmp_path / "b.png").write_bytes(png(9))

    def shown(value, kind="image", frames=2):
        return Stored("t, row 3", lambda: value, kind, tmp_path)(frames)

    return shown


def shades(media):
    return [one.frames[0].getpixel((0, 0))[0] for one in media]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (png(7), [7]),
        ("b.png", [9]),
        ({"bytes": png(7), "path": "gone.png"}, [7]),
        ({"bytes": None, "path": "b.png"}, [9]),
        ({"path": "b.png"}, [9]),
        ([png(7), None, "b.png", {"bytes": png(5), "path": None}], [7, 9, 5]),
    ],
)
def test_pictures(show, value, found):
    assert shades(show(value)) == found


def test_bytes_are_called_after_their_row_and_leave_nothing(show, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    [media] = show(png())
    assert media.path == Path("the image of t, row 3")
    assert media.sha256
    with pytest.raises(MediaError) as caught:
        show(png()[:50])
    assert caught.value.message.startswith("the image of t, row 3 cannot be decoded whole")
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_videos(show, tmp_path):
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    [named] = show("clip.mp4", "video")
    [kept] = show({"bytes": CLIP.read_bytes(), "path": None}, "video")
    assert len(kept.frames) == len(named.frames) == 2
    assert kept.frames[0].tobytes() == named.frames[0].tobytes()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "t, row 3: no image"),
        ([], "t, row 3: no image"),
        ([None], "t, row 3: no image"),
        ("", "t, row 3: no image"),
        ({"bytes": None, "path": None}, "t, row 3: no image"),
        (b"", "the image of t, row 3 is empty"),
        (7, "t, row 3: image 7 is no file"),
        ([["b.png"]], "is no file, and no bytes"),
        ({"bytes": "text"}, "no such file"),
        ("gone.png", "gone.png"),
        ("a\0b", "cannot open"),
        (["b.png"] * 65, "65 images, which are more than 64"),
        (b"text", "the image of t, row 3 is not an image"),
    ],
)
def test_what_cannot_be_shown_names_its_row(show, value, said):
    with pytest.raises(V2DropError) as caught:
        show(value)
    assert said in caught.value.message
    assert "v2drop-" not in caught.value.message + (caught.value.hint or "")
