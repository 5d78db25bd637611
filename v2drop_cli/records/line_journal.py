"""What finishes one by one, a JSON line each, so that a run that was killed can be gone on with.

The first line says what the run is: its settings. A line that a kill cut short is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from v2drop_cli.errors import OutputPathError, UsageError, V2DropError, reason_of

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
        path: the file; its folder is there. ``None``: nothing is written.
        resume: whether what is there is gone on from.

    Attributes:
        schema: in the first line.
        kind: what the other lines hold.
        called: what such a file is, for messages.

    Raises:
        UsageError: something is there and nobody said to go on, or the file is of something else.
    """

    schema: ClassVar[str]
    kind: type[E]
    called: ClassVar[str]

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path, self._done = path, dict[int, E]()
        self._settings: dict[str, Any] = {}
        if path is None or not path.exists():
            return
        whole = list(_whole_lines(path))
        if whole and not resume:
            raise UsageError(
                f"{path.parent} holds a run already",
                hint="--resume goes on with it; or name another folder",
            )
        self._take_up(path, whole)

    @property
    def results(self) -> list[E]:
        """What there is, in order."""
        return [self._done[number] for number in sorted(self._done)]

    def __contains__(self, number: object) -> bool:
        return number in self._done

    def check(self, settings: Settings) -> None:
        """Refuse to go on with a run that had other ``settings``; those not named may differ.

        Raises:
            UsageError: one differs; the message names it with both values.
        """
        if not self._settings:
            return
        for name, value in settings.items():
            before = self._settings.get(name)
            if before != _plain(value):
                raise UsageError(
                    f"the run in {self._folder} had another {name}: {_shown(before)}, now "
                    f"{_shown(_plain(value))}",
                    hint="ask as it was asked, or name another folder",
                )

    def begin(self, settings: Settings) -> None:
        """Write the first line, unless there is one.

        Raises:
            UsageError: there is one of other settings.
        """
        self.check(settings)
        if not self._settings:
            self._settings = _plain(settings)
            self._write([json.dumps({"schema": self.schema, "settings": self._settings})])

    def append(self, results: Iterable[E]) -> None:
        """Keep results, each once; when this returns they are on the disk.

        Raises:
            V2DropError: the disk refused them.
        """
        new = [result for result in results if result.number not in self._done]
        if new:
            self._write([result.line() for result in new])
        self._done |= {result.number: result for result in new}

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

    def _take_up(self, path: Path, lines: list[bytes]) -> None:
        """Read what is there, and cut off what a kill left half-written."""
        try:
            if lines:
                head = json.loads(lines[0])
                if head["schema"] != self.schema:
                    raise ValueError(f"schema {head['schema']!r}")
                self._settings = dict(head["settings"])
            found = [self.kind.read(json.loads(line)) for line in lines[1:]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path} is not {self.called}: {reason_of(error)}", hint="name another folder"
            ) from error
        self._done = {result.number: result for result in found}
        whole = sum(map(len, lines))
        if path.stat().st_size > whole:
            os.truncate(path, whole)


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


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {reason_of(error)}") from error


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
