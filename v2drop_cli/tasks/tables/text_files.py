"""JSONL and CSV files with columns of any name: ``metadata.jsonl`` beside pictures, say."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.lines import Lines
from v2drop_cli.tasks.tables.column import ANYTHING, Column

HINT = "one question a line; docs/eval.md"


class JsonLines:
    """A file of one JSON object a line; its columns are those of the first one."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._lines = Lines(name, path, HINT)

    def columns(self) -> Mapping[str, Column]:
        """The keys of the first line.

        Raises:
            UsageError: it is no JSON object.
        """
        first: Mapping[str, Any] = next(self._objects(), {})
        return {name: Column(name, ANYTHING, "JSON") for name in first}

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """All rows; what is missing in one is ``None``.

        Raises:
            UsageError: a line is no JSON object.
        """
        for given in self._objects():
            yield {name: given.get(name) for name in names}

    def _objects(self) -> Iterator[Mapping[str, Any]]:
        for place, line in self._lines.read():
            text = self._lines.text(place, line)
            if text.strip():
                yield self._lines.json(place, text)


class Csv:
    """A file of comma-separated values with a line of names; an empty cell holds nothing."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._lines = Lines(name, path, HINT)

    def columns(self) -> Mapping[str, Column]:
        """The names in the first line.

        Raises:
            UsageError: one stands there twice.
        """
        names = next(self._cells(), [])
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self.name} has several columns {twice[0]!r:.60}", hint=HINT)
        return {name: Column(name, ANYTHING, "CSV") for name in names}

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """All rows.

        Raises:
            UsageError: one has more or fewer cells than there are names.
        """
        cells = self._cells()
        head = next(cells, [])
        for number, row in enumerate(cells):
            if len(row) != len(head):
                raise UsageError(
                    f"{self.name}, row {number} has {len(row)} cells for {len(head)} columns",
                    hint=HINT,
                )
            found = dict(zip(head, row, strict=True))
            yield {name: found[name] or None for name in names}

    def _cells(self) -> Iterator[list[str]]:
        reader = csv.reader(self._texts(), strict=True)
        try:
            yield from (row for row in reader if row)
        except csv.Error as error:
            raise UsageError(f"{self.name} is no CSV: {error}", hint=HINT) from None

    def _texts(self) -> Iterator[str]:
        for place, line in self._lines.read():
            yield self._lines.text(place, line)
