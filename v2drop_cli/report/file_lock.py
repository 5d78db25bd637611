"""One writer for each result file: a second command that is to write it is told at once.

The operating system keeps the lock (``flock``) for as long as the process lives, so that one that
was killed leaves nothing that stands in the way: only a small file beside the result, which the
next writer takes over and removes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path

from v2drop_cli.errors import OutputPathError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that know no locks."""
_ASKING_S = 0.02
"""Who only asks whether there is a writer has the lock for a moment, too."""


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Be the only v2drop that writes ``path`` for the duration.

    Where no lock can be had (Windows, some network file systems, a full disk), nobody is told.

    Raises:
        OutputPathError: another one writes it.
    """
    lock = _Lock(path)
    try:  # from here on, for Ctrl-C may come between taking it and the next line
        lock.take()
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def only_writer_beside(path: Path, rivals: Callable[[Path], Iterable[Path]]) -> Iterator[None]:
    """Be the only writer of ``path`` for the duration, and begin only if nobody writes a rival.

    Others may write files beside it that are no rivals. ``path`` is there from the start, if only
    as an empty file, for others to find that have it for a rival.

    Args:
        path: what is written.
        rivals: finds the files, among those that are there, that must have no writer.

    Raises:
        OutputPathError: another v2drop writes ``path`` or a rival.
    """
    with only_writer(path):
        try:
            path.touch()
            for rival in rivals(path):
                if is_written(rival):
                    raise _in_use(rival, _owner(lock_beside(rival)))
            yield
        finally:
            with contextlib.suppress(OSError):
                if not path.stat().st_size:
                    path.unlink()


def is_written(path: Path) -> bool | None:
    """Whether a v2drop writes ``path`` now; ``None`` where that cannot be told."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        with lock_beside(path).open("r+b", buffering=0) as file:
            # Shared, so that several may ask at once.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def lock_beside(path: Path) -> Path:
    """The lock of ``path``; a short name, for the file's own may be as long as names can be."""
    target = Path(os.path.realpath(path))
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    return target.parent / f".v2drop-{name}.lock"


class _Lock:
    def __init__(self, path: Path) -> None:
        self.path, self.place = path, lock_beside(path)
        self.file: FileIO | None = None

    def take(self) -> None:
        """Lock, or say who has it."""
        try:
            import fcntl
        except ImportError:
            return
        tries = 3
        while self.file is None:
            try:
                file = self.place.open("a+b", buffering=0)
            except OSError:  # a full disk, or somebody else's lock that was left behind
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                if tries == 1:
                    raise _in_use(self.path, _owner(self.place)) from None
                tries -= 1
                time.sleep(_ASKING_S)
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            # Its last owner may have removed it between the two calls: then nobody else sees it.
            if _is_at(file, self.place):
                self.file = file
            else:
                file.close()
        with contextlib.suppress(OSError):
            self.file.truncate(0)
            self.file.write(str(os.getpid()).encode())

    def release(self) -> None:
        """Remove the lock, if it is held; in this order, so that nobody takes it in between."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.place.unlink()
            self.file.close()


def _owner(lock: Path) -> str:
    """Who has it, as its file says."""
    try:
        return lock.read_text("ascii", "replace")[:20]
    except OSError:
        return ""


def _in_use(path: Path, owner: str) -> OutputPathError:
    return OutputPathError(
        f"{str(path)!r} is being written by another v2drop (process {owner or 'unknown'})",
        hint="wait until it ends, or name another file",
    )


def _is_at(file: FileIO, place: Path) -> bool:
    try:
        there = place.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), there)
