"""What finishes one by one, a JSON line each, so that a run that was killed can be gone on with.

The first line says what the run is: its settings. A line that a kill cut short is none. Where
several processes keep a file each, all of them are one run, and each process writes its own only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from v2drop_cli.errors import OutputPathError, UsageError, V2DropError, reason_of, short

Settings = Mapping[str, Any]


class Entry(Protocol):
    """One line of a file."""

    @property
    def number(self) -> int:
        """Its place: each place is filled once."""
        ...

    def line(self) -> str:
        """As JSON in one line."""
        ...

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """From what :meth:`line` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        ...


E = TypeVar("E", bound=Entry)


class LineJournal(Generic[E]):
    """What one run has so far, in a file or, without one, in memory alone.

    Args:
        path: the file; its folder is there. ``None``: nothing is written. What other processes
            wrote beside it is read, too.
        resume: whether what is there is gone on from.

    Attributes:
        schema: in the first line.
        kind: what the other lines hold.
        called: what such a file is, for messages.

    Raises:
        UsageError: something is there and nobody said to go on, or a file is of something else.
    """

    schema: ClassVar[str]
    kind: type[E]
    called: ClassVar[str]

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path, self._done = path, dict[int, E]()
        self._settings: dict[str, Any] = {}
        self._files = dict[Path, _LineFile]()
        if path is None:
            return
        self.look()
        theirs = (each for each in self._files if self.is_hindered_by(path, each))
        if not resume and any(self._files[each].settings for each in theirs):
            raise UsageError(
                f"{path.parent} holds a run already",
                hint="--resume goes on with it; or name another folder",
            )
        self._files[path].cut()

    @staticmethod
    def beside(path: Path) -> Iterable[Path]:
        """The files of other processes of the same run; a kind of journal may have some."""
        return ()

    @staticmethod
    def is_hindered_by(path: Path, other: Path) -> bool:
        """Whether a run that begins may not find anything in ``other``."""
        return True

    @property
    def results(self) -> list[E]:
        """What there is, in order."""
        return [self._done[number] for number in sorted(self._done)]

    def __contains__(self, number: object) -> bool:
        return number in self._done

    def look(self) -> None:
        """Take up what other processes wrote since the last look.

        Raises:
            UsageError: one of them asks something else, or a file is of something else.
        """
        if self.path is None:
            return
        for path in dict.fromkeys((self.path, *self.beside(self.path))):
            file = self._files.setdefault(path, _LineFile(path, self.schema, self.called))
            known = bool(file.settings)
            for result in file.more(self.kind.read):
                self._done.setdefault(result.number, result)
            if not known and file.settings and self._settings:
                self._compare(file.settings, self._settings)

    def check(self, settings: Settings) -> None:
        """Refuse to go on with a run that had other ``settings``; those not named may differ.

        Raises:
            UsageError: one differs; the message names it with both values.
        """
        for file in self._files.values():
            if file.settings:
                self._compare(file.settings, settings)
        if self._settings:
            self._compare(self._settings, settings)

    def begin(self, settings: Settings) -> None:
        """Write the first line, unless there is one.

        Raises:
            UsageError: there is one of other settings.
        """
        self.check(settings)
        self._settings = _plain(settings)
        own = None if self.path is None else self._files[self.path]
        if own is not None and not own.settings:
            self._write([json.dumps({"schema": self.schema, "settings": self._settings})])
            own.settings = dict(self._settings)

    def append(self, results: Iterable[E]) -> None:
        """Keep results, each once; when this returns they are on the disk.

        Raises:
            V2DropError: the disk refused them.
        """
        new = [result for result in results if result.number not in self._done]
        if new:
            self._write([result.line() for result in new])
        self._done |= {result.number: result for result in new}

    def _compare(self, before: Settings, settings: Settings) -> None:
        for name, value in settings.items():
            if before.get(name) != _plain(value):
                raise UsageError(
                    f"the run in {self._folder} had another {name}: {_shown(before.get(name))}, "
                    f"now {_shown(_plain(value))}",
                    hint="ask as it was asked, or name another folder",
                )

    @property
    def _folder(self) -> str:
        return "memory" if self.path is None else str(self.path.parent)

    def _write(self, lines: Iterable[str]) -> None:
        if self.path is None:
            return
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            with self.path.open("ab") as file:
                end = file.tell()
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), end)  # no half lines
                    raise
        except OSError as error:
            raise V2DropError(
                f"could not write {str(self.path)!r}: {reason_of(error)}",
                hint="what was found before is in it: --resume goes on from there",
            ) from error
        self._files[self.path].end += len(data)  # nobody need read them again


class _LineFile:
    """One file, read as far as its lines are whole; another process may be writing it.

    Attributes:
        settings: of its first line; empty as long as there is none.
        end: of what was read, in bytes.
    """

    def __init__(self, path: Path, schema: str, called: str) -> None:
        self.path, self.settings = path, dict[str, Any]()
        self.end = 0
        self._schema, self._called = schema, called

    def more(self, read: Callable[[Mapping[str, Any]], E]) -> list[E]:
        """What was written since the last time, each line made into what it holds by ``read``.

        Raises:
            UsageError: it cannot be read, or is of something else.
        """
        lines = self._whole_lines()
        try:
            values = [json.loads(line) for line in lines]
            if values and not self.end:
                head = values.pop(0)
                if head["schema"] != self._schema:
                    raise ValueError(f"schema {head['schema']!r}")
                self.settings = dict(head["settings"])
            found = [read(value) for value in values]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{self.path} is not {self._called}: {reason_of(error)}",
                hint="name another folder",
            ) from error
        self.end += sum(map(len, lines))
        return found

    def cut(self) -> None:
        """Cut off what a kill left half-written; for the file's only writer."""
        if self.path.exists() and self.path.stat().st_size > self.end:
            os.truncate(self.path, self.end)

    def _whole_lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.end)
                return [line for line in file if line.endswith(b"\n")]
        except FileNotFoundError:  # not begun yet, or its writer went without having begun
            return []
        except OSError as error:
            raise UsageError(f"cannot read {str(self.path)!r}: {reason_of(error)}") from error


def file_in(folder: Path, name: str) -> Path:
    """The file ``name`` in ``folder``, which is made if need be.

    Raises:
        OutputPathError: it cannot be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputPathError(
            f"cannot make the folder {str(folder)!r}: {reason_of(error)}",
            hint="--output names a folder, for what is found on the way and the result",
        ) from error
    return folder / name


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False))
