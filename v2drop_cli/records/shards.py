"""An evaluation in parts: which batches a process asks, and in which file it keeps its rows.

All files of a run are in one folder, and together they are its rows, however many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from v2drop_cli.errors import UsageError
from v2drop_cli.records.line_journal import file_in

_NAME = re.compile(r"rows(?:\.([1-9]\d*)-of-([1-9]\d*))?\.jsonl")


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``count``-th batch, from the one numbered ``index`` on.

    Batches and not rows, so that a row meets the neighbours that it has in one process.

    Attributes:
        index: from 0.
        count: how many shards there are; one alone is everything.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``K/N``, counted from 1.

        Raises:
            UsageError: it is something else.

        >>> Shard.parse("2/4"), str(Shard.parse("2/4"))
        (Shard(index=1, count=4), '2/4')
        """
        match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text, re.ASCII)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(
                f"--shard {text!r} is no part of several", hint="K/N: 1/4, 2/4, 3/4 and 4/4"
            )
        return cls(int(match[1]) - 1, int(match[2]))

    @classmethod
    def of(cls, path: Path) -> Shard:
        """Whose rows a file holds, by its name; what is named otherwise holds all.

        >>> Shard.of(Path("run/rows.2-of-4.jsonl")), Shard.of(Path("rows.jsonl"))
        (Shard(index=1, count=4), Shard(index=0, count=1))
        """
        match = _NAME.fullmatch(path.name)
        if match is None or match[1] is None:
            return cls()
        return cls(int(match[1]) - 1, int(match[2]))

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"

    @property
    def file_name(self) -> str:
        """What its file is called."""
        if self.count == 1:
            return "rows.jsonl"
        return f"rows.{self.index + 1}-of-{self.count}.jsonl"

    @property
    def others(self) -> tuple[Shard, ...]:
        """The other parts of the same whole."""
        return tuple(replace(self, index=i) for i in range(self.count) if i != self.index)

    def takes(self, batch: int) -> bool:
        """Whether the batch of this number is one of its own."""
        return batch % self.count == self.index

    def rows(self, asked: int, size: int) -> Iterator[int]:
        """The numbers of its rows, of so many that are asked in batches of ``size``.

        >>> list(Shard(1, 2).rows(7, 2))
        [2, 3, 6]
        """
        return (row for row in range(asked) if self.takes(row // size))


def rows_file(folder: Path, shard: Shard) -> Path:
    """Where the rows of ``shard`` are, of a run in ``folder``; the folder is made if need be.

    Raises:
        OutputPathError: it cannot be one.
    """
    return file_in(folder, shard.file_name)


def row_files(folder: Path) -> list[Path]:
    """The files of rows that are in ``folder``, in a fixed order."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def rivals(path: Path) -> list[Path]:
    """The files beside ``path`` that are of another number of parts: no run may write both."""
    count = Shard.of(path).count
    return [found for found in row_files(path.parent) if Shard.of(found).count != count]
