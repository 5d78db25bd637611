"""From what was typed to a file that is there: paths, and ``file://`` addresses.

``Path("file:///a")`` is ``file:/a``, so every address is understood with one slash too. Where
two slashes are typed, a machine's name stands between them and the path: only ``localhost``, or
none, is this machine.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from v2drop_cli.errors import MediaArgumentError, MediaError

_FILE_ADDRESS = re.compile(
    r"file:(?://(?P<host>[^/]*)|/localhost(?=/))?(?P<path>.*)", re.IGNORECASE | re.DOTALL
)
_OTHER_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_DATA_ADDRESS = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_SHOWN_MOST = 200


def check_media_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`~pathlib.Path`, once it is known to be a readable, non-empty file.

    A ``file://`` address becomes the path that it names.

    Raises:
        MediaArgumentError: nothing there, a directory, not a regular file, not readable, or on
            another machine.
        MediaError: the file is empty.
    """
    file = _local(os.fspath(path))
    try:
        status = file.stat()
        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            file.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise MediaArgumentError(f"no such file: {_shown(file)}", hint=_path_hint(file)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaArgumentError(
            f"cannot open {_shown(file)!r}: {reason}", hint="check the name and its permissions"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaArgumentError(
            f"{file} is a directory", hint="name one image or video file inside it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise MediaArgumentError(
            f"{file} is not a regular file", hint="save the stream to a file and name that"
        )
    if status.st_size == 0:
        raise MediaError(f"{file} is empty (0 bytes)", hint="download or export it again")
    return file


def _local(text: str) -> Path:
    """The path that ``text`` names; a file that really has such a name wins.

    Raises:
        MediaArgumentError: it is empty, a ``data:`` address, which names no file, or the address
            of a file elsewhere.
    """
    if text.lower() in ("", "file:", "file://"):  # Path("") is the current directory
        raise MediaArgumentError(f"{text!r} names no file", hint="give the path of one")
    file = Path(text)
    with contextlib.suppress(OSError, ValueError):  # too long for a name, or a NUL in it
        if file.exists():
            return file
    if _DATA_ADDRESS.match(text):
        raise MediaArgumentError(
            f"a data: address is not read: {_shown(text, 40)}",
            hint="decode what follows its comma (base64 -d) into a file, and name that",
        )
    found = _FILE_ADDRESS.fullmatch(text)
    if found is None:
        return file
    if (found["host"] or "").lower() not in ("", "localhost"):
        raise MediaArgumentError(
            f"{_shown(text)} names a file of the machine {_shown(found['host'], 60)!r}",
            hint="a file of this one has three slashes (file:///home/...), or no file:// at all",
        )
    named, decoded = Path(found["path"]), Path(unquote(found["path"]))
    with contextlib.suppress(OSError, ValueError):
        if not decoded.exists() and named.exists():  # a per cent sign that means itself
            return named
    return decoded


def _path_hint(file: Path) -> str:
    if _OTHER_ADDRESS.match(str(file)):
        return "only local files are read: download it first"
    if not file.parent.is_dir():
        return f"there is no directory {_shown(file.parent)}"
    siblings: list[str] = []
    with contextlib.suppress(OSError):  # a directory that may be entered but not listed
        siblings = os.listdir(file.parent)
    near = difflib.get_close_matches(file.name, siblings)
    return f"did you mean {' or '.join(near)}?" if near else f"looked in {file.parent.resolve()}"


def _shown(path: str | Path, most: int = _SHOWN_MOST) -> str:
    """A name as a message quotes it: never long."""
    text = str(path)
    return text if len(text) <= most else f"{text[: most - 3]}..."
