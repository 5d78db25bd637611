"""What may be typed for a file, and what is said where it names none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.media.support import refusal
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.media import check_media_path, load_image, load_video

LOADERS = [load_image, lambda path: load_video(path, 4)]


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
def test_paths_that_name_no_file_are_usage_errors(check, tmp_path):
    (tmp_path / "street.mp4").write_bytes(b"x")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    wrong = {
        tmp_path / "stret.mp4": "did you mean street.mp4?",
        tmp_path / "nowhere" / "a.png": "there is no directory",
        tmp_path / "zzz": "looked in",
        tmp_path / "street.mp4" / "a.png": "there is no directory",
        "https://example.org/a.png": "download it first",
        tmp_path: "inside it",
        "": "give the path",
        "file://": "give the path",
        "file:///": "inside it",
        fifo: "save the stream",
        "a\0b": "check the name",
    }
    for path, hint in wrong.items():
        error = refusal(check, path, MediaArgumentError)
        assert error.exit_code == 2
        assert hint in error.hint


def test_a_file_that_may_not_be_read_is_a_usage_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert check_media_path(str(path)) == path

    def refuse(*args, **kwargs):  # root may read everything: chmod would not do here
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in refusal(check_media_path, path, MediaArgumentError).message


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
def test_an_empty_file_is_a_media_error(check, tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    assert "empty" in refusal(check, path).message


def test_importing_media_loads_no_decoder():
    code = "import sys, v2drop_cli.media; print({'av', 'PIL', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("host", ["file://", "file:", "file://localhost", "FILE://"])
def test_a_file_address_is_the_path_that_it_names(host, tmp_path):
    path = tmp_path / "a b%.png"
    Image.new("RGB", (4, 4), "red").save(path)
    address = f"{host}{tmp_path}/a%20b%25.png"
    for typed in (address, Path(address), f"{host}{path}"):  # a Path makes three slashes one
        assert check_media_path(typed) == path
    assert load_image(Path(address)).path == path


def test_a_relative_file_address_is_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert check_media_path("file:a.png") == Path("a.png")


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
@pytest.mark.parametrize("host", ["otherhost", "localhost.org", "%2e"])
def test_a_file_of_another_machine_is_not_read_from_this_one(host, check, tmp_path, monkeypatch):
    """Not even where this machine has a file of that path, or of that name."""
    for name in ("a.png", f"{host}{tmp_path}/a.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    error = refusal(check, f"file://{host}{tmp_path}/a.png", MediaArgumentError)
    assert f"the machine {host!r}" in error.message
    assert "three slashes" in error.hint


def test_a_file_address_that_names_nothing_is_a_usage_error(tmp_path):
    (tmp_path / "street.png").write_bytes(b"x")
    error = refusal(check_media_path, f"file://{tmp_path}/stret.png", MediaArgumentError)
    assert error.message == f"no such file: {tmp_path}/stret.png"
    assert "street.png" in error.hint


def test_a_file_that_is_named_like_an_address_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("file:", "data:image", "s3:"):
        Path(name).mkdir()
    for name in ("file:/a.png", "data:image/png,x", "s3:/a.png"):
        Path(name).write_bytes(b"x")
        assert check_media_path(name) == Path(name)


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
@pytest.mark.parametrize("kind", ["image/png;base64", "video/mp4;base64", ""])
def test_a_data_address_is_refused_without_repeating_it(kind, check):
    address = f"data:{kind},{'iVBORw0KGgo' * 20_000}"
    for typed in (address, Path(address)):
        error = refusal(check, typed, MediaArgumentError)
        assert len(error.message) < 100
        assert "base64 -d" in error.hint


@pytest.mark.parametrize("address", ["s3://a/b.png", "gs:/a.mp4", "HTTPS://a.org/b", "ftp://a/b"])
def test_other_addresses_have_to_be_downloaded(address):
    assert "download" in refusal(check_media_path, address, MediaArgumentError).hint


def test_a_name_that_is_too_long_is_not_repeated_whole():
    assert len(refusal(check_media_path, "x" * 100_000, MediaArgumentError).message) < 300
