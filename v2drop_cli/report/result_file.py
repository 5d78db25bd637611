"""Result files: written whole or not at all, and refused before measuring.

A result file is rewritten after every round, and a crash at any moment leaves the last
complete document, or none.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
from pathlib import Path
from typing import NoReturn

from v2drop_cli.errors import OutputPathError, V2DropError, reason_of
from v2drop_cli.report.text import clean


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step; on any failure the old file stays as it was.

    Raises:
        OSError: it could not be written; nothing is left behind.

    """
    target = Path(os.path.realpath(path))  # a link stays a link, its target is what changes
    # Bytes of a file name that are no text arrive as lone surrogates, which UTF-8 refuses; the
    # escape put in their place is exactly what JSON calls them.
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    draft = _draft_beside(target)
    try:  # from here on, for Ctrl-C may come between opening and the next line
        with os.fdopen(_open_new(draft), "wb") as file:
            if target.exists():
                draft.chmod(stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _draft_beside(target: Path) -> Path:
    """Name a new file beside the target: replacing is then a rename."""
    return target.parent / f".v2drop-{secrets.token_hex(6)}.tmp"


def _open_new(draft: Path) -> int:
    """Make the file; the umask sets its mode."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(draft, flags, 0o666)


class ResultFile:
    """The ``--output`` file: refused here, before measuring, where it could not be written later.

    Creating one leaves an existing file alone and makes no new one.

    Raises:
        OutputPathError: the path cannot be written, with what to do about it.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        _check_target(self.path)

    def write(self, content: str | bytes) -> None:
        """Make ``content`` the file's whole content: once per round, and at the end.

        Raises:
            V2DropError: the disk refused; the last complete document is still there.

        """
        try:
            write_atomically(self.path, content)
        except OSError as error:
            raise V2DropError(
                f"could not write {str(self.path)!r}: {reason_of(error)}",
                hint="the file still holds the last complete result, if there was one",
            ) from error


def _check_target(path: Path) -> None:
    shown = repr(str(path))
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            hint = f"name a file in it: {clean(str(path / 'report.json'))}"
            raise OutputPathError(f"{shown} is a directory", hint=hint)
        if not target.parent.is_dir():
            _refuse_parent(shown, target.parent)
        if target.exists() and not target.is_file():
            hint = "use --json to write the report to stdout"
            raise OutputPathError(f"{shown} is not a regular file", hint=hint)
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputPathError(f"{shown} is write-protected", hint="choose another file name")
        draft = _draft_beside(target)
        try:
            os.close(_open_new(draft))  # only trying tells: mounts, quotas, ACLs
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        hint = "choose a file in a directory you may write to"
        raise OutputPathError(f"cannot write {shown}: {reason_of(error)}", hint=hint) from error


def _refuse_parent(shown: str, parent: Path) -> NoReturn:
    if parent.exists():
        hint = "choose a directory to write to"
        raise OutputPathError(f"{shown}: {str(parent)!r} is a file, not a directory", hint=hint)
    hint = f"create it first: mkdir -p {clean(shlex.quote(str(parent)))}"
    raise OutputPathError(f"{shown}: there is no directory {str(parent)!r}", hint=hint)
