"""Rows as they finish, one JSON line each, so that a run that was killed can be gone on with.

The first line says what the run is: its settings. A line that a kill cut short is none.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2drop_cli.errors import OutputPathError, UsageError, V2DropError, reason_of

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
        path: the file; its folder is there. ``None``: nothing is written.
        resume: whether rows that are there are gone on from.

    Raises:
        UsageError: there are rows and nobody said to go on, or the file is of something else.
    """

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path, self._done = path, dict[int, RowResult]()
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
    def results(self) -> list[RowResult]:
        """What there is, in the order of the data."""
        return [self._done[row] for row in sorted(self._done)]

    def __contains__(self, row: object) -> bool:
        return row in self._done

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
            self._write([json.dumps({"schema": SCHEMA, "settings": self._settings})])

    def append(self, results: Iterable[RowResult]) -> None:
        """Keep rows, each once; when this returns they are on the disk.

        Raises:
            V2DropError: the disk refused them.
        """
        new = [result for result in results if result.row not in self._done]
        if new:
            self._write([result.line() for result in new])
        self._done |= {result.row: result for result in new}

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

    def _take_up(self, path: Path, lines: list[bytes]) -> None:
        """Read what is there, and cut off what a kill left half-written."""
        try:
            if lines:
                head = json.loads(lines[0])
                if head["schema"] != SCHEMA:
                    raise ValueError(f"schema {head['schema']!r}")
                self._settings = dict(head["settings"])
            found = [RowResult.read(json.loads(line)) for line in lines[1:]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path} is not the rows of a run: {reason_of(error)}", hint="name another folder"
            ) from error
        self._done = {result.row: result for result in found}
        whole = sum(map(len, lines))
        if path.stat().st_size > whole:
            os.truncate(path, whole)


def rows_file(folder: Path) -> Path:
    """Where the rows of a run in ``folder`` are; the folder is made if need be.

    Raises:
        OutputPathError: it cannot be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputPathError(
            f"cannot make the folder {str(folder)!r}: {reason_of(error)}",
            hint="--output names a folder, for the rows and the result",
        ) from error
    return folder / "rows.jsonl"


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
