"""Rows as they finish, one JSON line each, so that a run that was killed can be gone on with.

The first line says what the run is: its settings. A line that a kill cut short is none. Several
processes keep a file each; all files of a folder are one run, and each process writes its own only.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2drop_cli.errors import UsageError, V2DropError, reason_of
from v2drop_cli.records.shards import Shard, row_files

SCHEMA = "v2drop.eval-rows/1"
Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """What one arm said to one row.

    Attributes:
        text: the answer.
        tokens: its ids.
        score: from 0 to 1; ``None`` where nothing is scored.
        kl, agreement, first_divergence: see :class:`~v2drop_cli.records.evaluation.Fidelity`, of
            this row; ``None`` where nobody looked.
    """

    text: str
    tokens: tuple[int, ...]
    score: float | None
    vision_tokens: int
    layer_average: float
    prefill_s: float
    decode_s_per_token: float | None
    kl: float | None = None
    agreement: float | None = None
    first_divergence: int | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row: what each arm said, or why it could not be asked.

    Attributes:
        row: its place in the data, from 0.
        group: what its score is also counted under.
        label: an answer that is right, for details of the metric.
        arms: by label; empty for a broken row.
        broken: why it is one; ``None`` for a sound row.
    """

    row: int
    group: str | None
    label: str | None
    arms: Mapping[str, ArmAnswer] = field(default_factory=dict)
    broken: str | None = None

    def line(self) -> str:
        """As JSON in one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> RowResult:
        """From what :meth:`line` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        arms = {
            label: ArmAnswer(**{**found, "tokens": tuple(found["tokens"])})
            for label, found in value["arms"].items()
        }
        return cls(int(value["row"]), value["group"], value["label"], arms, value["broken"])


class Journal:
    """The rows of one run, in a file or, without one, in memory alone.

    Args:
        path: the file; its folder is there. ``None``: nothing is written. What other processes
            wrote beside it (:func:`~v2drop_cli.records.shards.row_files`) is read, too.
        resume: whether rows that are there are gone on from.

    Raises:
        UsageError: there are rows and nobody said to go on, or a file is of something else.
    """

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path, self._done = path, dict[int, RowResult]()
        self._settings: dict[str, Any] = {}
        self._files = dict[Path, _RowsFile]()
        if path is None:
            return
        self.look()
        # The other parts of a run that is just beginning are no hindrance.
        count = Shard.of(path).count
        theirs = (each for each in self._files if each == path or Shard.of(each).count != count)
        if not resume and any(self._files[each].settings for each in theirs):
            raise UsageError(
                f"{path.parent} holds a run already",
                hint="--resume goes on with it; or name another folder",
            )
        self._files[path].cut()

    @property
    def results(self) -> list[RowResult]:
        """What there is, in the order of the data."""
        return [self._done[row] for row in sorted(self._done)]

    def __contains__(self, row: object) -> bool:
        return row in self._done

    def look(self) -> None:
        """Take up what other processes wrote since the last look.

        Raises:
            UsageError: one of them asks something else, or a file is of something else.
        """
        if self.path is None:
            return
        for path in dict.fromkeys((self.path, *row_files(self.path.parent))):
            file = self._files.setdefault(path, _RowsFile(path))
            known = bool(file.settings)
            for result in file.more():
                self._done.setdefault(result.row, result)
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
            self._write([json.dumps({"schema": SCHEMA, "settings": self._settings})])
            own.settings = dict(self._settings)

    def append(self, results: Iterable[RowResult]) -> None:
        """Keep rows, each once; when this returns they are on the disk.

        Raises:
            V2DropError: the disk refused them.
        """
        new = [result for result in results if result.row not in self._done]
        if new:
            self._write([result.line() for result in new])
        self._done |= {result.row: result for result in new}

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
                hint="what was answered before is in it: --resume goes on from there",
            ) from error
        self._files[self.path].end += len(data)  # nobody need read them again


class _RowsFile:
    """One file, read as far as its lines are whole; another process may be writing it.

    Attributes:
        settings: of its first line; empty as long as there is none.
        end: of what was read, in bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.settings = path, dict[str, Any]()
        self.end = 0

    def more(self) -> list[RowResult]:
        """The rows that were written since the last time.

        Raises:
            UsageError: it cannot be read, or is of something else.
        """
        lines = self._whole_lines()
        try:
            rows = [json.loads(line) for line in lines]
            if rows and not self.end:
                head = rows.pop(0)
                if head["schema"] != SCHEMA:
                    raise ValueError(f"schema {head['schema']!r}")
                self.settings = dict(head["settings"])
            found = [RowResult.read(row) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{self.path} is not the rows of a run: {reason_of(error)}",
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
        except FileNotFoundError:  # its writer went without having begun
            return []
        except OSError as error:
            raise UsageError(f"cannot read {str(self.path)!r}: {reason_of(error)}") from error


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
