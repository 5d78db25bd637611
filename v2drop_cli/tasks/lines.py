"""A text file line by line, never held whole, and the JSON object that a line is."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from v2drop_cli.errors import UsageError, reason_of

LONGEST_LINE = 2**20
"""Bytes: no question is that long, and a file that is no text may be one endless line."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one file.

    Attributes:
        name: what messages call it.
        path: where it is.
        hint: what to do about a line that cannot be used.
    """

    name: str
    path: Path
    hint: str

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number, from 1; one of more than ``LONGEST_LINE`` is cut.

        Raises:
            UsageError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                place = 0
                while line := file.readline(LONGEST_LINE + 1):
                    place += 1
                    yield place, line
        except OSError as error:
            raise UsageError(
                f"cannot read {self.name}: {reason_of(error)}", hint=self.hint
            ) from error

    def text(self, place: int, line: bytes) -> str:
        """The line as text, without the mark that some systems put before the first one.

        Raises:
            UsageError: it is too long, or not UTF-8.
        """
        if len(line) > LONGEST_LINE:
            raise UsageError(
                f"{self.where(place)} is longer than {LONGEST_LINE >> 20} MiB", hint=self.hint
            )
        try:
            return (line.removeprefix(_BOM) if place == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.where(place)} is not UTF-8: {error.reason}", hint=self.hint
            ) from None

    def json(self, place: int, text: str) -> Mapping[str, Any]:
        """The object that the line is.

        Raises:
            UsageError: it is none.
        """
        try:
            value = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{self.where(place)} is no JSON: {reason_of(error)}", hint=self.hint
            ) from None
        if not isinstance(value, dict):
            raise UsageError(f"{self.where(place)} is no JSON object", hint=self.hint)
        return value

    def where(self, place: int) -> str:
        """What messages call the line."""
        return f"{self.name}, line {place}"


def check_file(name: str, path: Path, hint: str) -> None:
    """Refuse what is no ordinary file: a pipe, a device, a link to itself.

    Raises:
        UsageError: it is none, or is not there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {name}: {reason_of(error)}", hint=hint) from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{name} is no ordinary file", hint=hint)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
