"""The questions of a table: Parquet, Arrow, or text beside pictures; a few rows at a time.

All rows are looked at before a model is loaded, but for their pictures: those columns are only
read when rows are asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from v2drop_cli.errors import UsageError
from v2drop_cli.media import Media
from v2drop_cli.tasks.lines import check_file
from v2drop_cli.tasks.rows import Row, Show, surveyed
from v2drop_cli.tasks.tables.arrow_files import ArrowFile
from v2drop_cli.tasks.tables.choosing import Asked, as_asked, choose, passed_over
from v2drop_cli.tasks.tables.column import FIELDS, MEDIA, Column, Taken, listed
from v2drop_cli.tasks.tables.folders import HINT, TABLES, Found, find
from v2drop_cli.tasks.tables.stored import Stored
from v2drop_cli.tasks.tables.text_files import Csv, JsonLines
from v2drop_cli.tasks.tables.values import fields_of, media_of


class Source(Protocol):
    """A file with columns."""

    name: str
    path: Path

    def columns(self) -> Mapping[str, Column]:
        """Its columns by name."""
        ...

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """All rows, each with the columns ``names``; few are held at a time."""
        ...


@dataclass(frozen=True, slots=True)
class _Part:
    """One file, which of its columns are which field, and which of them look like one in vain."""

    source: Source
    taken: Taken
    left: Sequence[Column]


class Table:
    """The questions of a file or a folder; see :class:`~v2drop_cli.tasks.rows.Data`.

    Args:
        name: of the file or the folder.
        asked: columns for fields, as typed; others are found by name.
        split: of a folder that holds several.

    Raises:
        UsageError: it cannot be read, no columns are found for a question, or a row is none.
        MissingPackageError: pyarrow reads it, and is not installed.
    """

    def __init__(self, name: str, asked: Asked, split: str | None = None) -> None:
        found = find(name, split)
        self.name, self.files = name, found.files
        self._parts = tuple(_parts(name, found.files, asked))
        asked = as_asked(self._parts[0].taken)
        self.columns: str | None = ",".join(
            f"{field}={columns}" for field, columns in asked.items()
        )
        self.told: str | None = _told(found, self.columns, self._parts[0].left)
        self.count, self.metric, self.labelled = surveyed(self._rows(shown=False))
        if not self.count:
            raise UsageError(f"{name} holds no questions", hint=HINT)
        digests = [_digest(name, file) for file in found.files]
        together = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        self.digest = digests[0] if len(digests) == 1 else together

    def rows(self) -> Iterator[Row]:
        """All rows in order.

        Raises:
            UsageError: a file cannot be read on.
        """
        return self._rows(shown=True)

    def _rows(self, shown: bool) -> Iterator[Row]:
        """All rows; where they are not ``shown``, without reading what they show."""
        number = 0
        for part in self._parts:
            wanted = {
                column.top
                for name, columns in part.taken.items()
                if shown or name not in MEDIA
                for column in columns
            }
            for values in part.source.rows(sorted(wanted)):
                where = f"{self.name}, row {number}"
                show = _showing(where, values, part) if shown else _nothing
                yield fields_of(where, values, part.taken).row(number, show)
                number += 1


def _told(found: Found, columns: str, left: Sequence[Column]) -> str:
    said = [f"split {found.split}"] if found.split is not None else []
    said += [f"{len(found.files)} files"] if len(found.files) > 1 else []
    said += [f"columns {columns}"]
    said += [f"but not {listed(left)}"] if left else []
    return f"Reading {', '.join(said)}"


def _showing(where: str, row: Mapping[str, Any], part: _Part) -> Show:
    [kind] = [name for name in MEDIA if name in part.taken]
    value = partial(media_of, row, part.taken[kind])
    return Stored(where, value, kind, part.source.path.parent)


def _nothing(frames: int) -> list[Media]:
    raise AssertionError("rows that are only looked at show nothing")


def _parts(name: str, files: Sequence[Path], asked: Asked) -> Iterator[_Part]:
    """Each file with the columns of the first one.

    Raises:
        UsageError: a file has none of that name, or it holds something else there.
    """
    for path in files:
        called = name if len(files) == 1 else str(path)
        check_file(called, path, HINT)
        source = _source(called, path)
        columns = source.columns()
        taken = choose(called, columns, asked)
        yield _Part(source, taken, passed_over(columns, taken))
        asked = {**dict.fromkeys(FIELDS, ""), **as_asked(taken)}


def _source(name: str, path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return ArrowFile(name, path)
    return Csv(name, path) if suffix == ".csv" else JsonLines(name, path)


def _digest(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint=HINT) from error
