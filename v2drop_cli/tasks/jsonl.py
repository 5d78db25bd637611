"""A JSONL file of questions: one object a line, read again and again and never held whole.

    {"image": "a.png", "question": "what is it?", "answers": ["a cat"], "group": "animals"}

``image``, ``images`` (a list) or ``video`` names files beside the data; ``answers`` (or ``answer``)
are those that are right; ``choices`` make it a multiple choice, whose answer is one of them or its
letter. Other keys are nobody's business. Every line is looked at before a model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from v2drop_cli.errors import UsageError, reason_of
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.tasks.rows import LETTERS, Row

HINT = 'one object a line: {"image": "cat.jpg", "question": "what is it?", "answers": ["a cat"]}'
LONGEST_LINE = 2**20
"""Bytes: no question is that long, and a file that is no JSONL may be one endless line."""
MOST_MEDIA = 64
_BOM = b"\xef\xbb\xbf"


class Jsonl:
    """The questions of a file; see :class:`~v2drop_cli.tasks.rows.Data`.

    Raises:
        UsageError: it cannot be read, or a line of it is no question: the first one is named.
    """

    def __init__(self, name: str) -> None:
        self.name, self._path = name, Path(name)
        _check_file(name, self._path)
        self._digest = hashlib.sha256()
        self.count, choices, self.labelled = 0, True, True
        for row in self.rows():
            self.count += 1
            choices = choices and bool(row.choices)
            self.labelled = self.labelled and bool(row.answers)
        if not self.count:
            raise UsageError(f"{name} holds no questions", hint=HINT)
        self.digest = self._digest.hexdigest()
        self.metric = "multiple_choice" if choices else "exact_match"

    def rows(self) -> Iterator[Row]:
        """All rows in order.

        Raises:
            UsageError: a line is no question.
        """
        self._digest, number = hashlib.sha256(), 0
        for place, line in enumerate(self._lines(), 1):
            self._digest.update(line)
            text = self._text(line, place)
            if text.strip():
                fields = _Fields(f"{self.name}, line {place}", _object(text, self.name, place))
                yield fields.row(number, self._path.parent)
                number += 1

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                while line := file.readline(LONGEST_LINE + 1):
                    yield line
        except OSError as error:
            raise UsageError(f"cannot read {self.name}: {reason_of(error)}", hint=HINT) from error

    def _text(self, line: bytes, place: int) -> str:
        if len(line) > LONGEST_LINE:
            raise UsageError(
                f"{self.name}, line {place} is longer than {LONGEST_LINE >> 20} MiB", hint=HINT
            )
        try:
            return (line.removeprefix(_BOM) if place == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.name}, line {place} is not UTF-8: {error.reason}", hint=HINT
            ) from None


def _check_file(name: str, path: Path) -> None:
    """Refuse what is no ordinary file: a folder, a pipe, a link to itself."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        hint = f"{HINT}; or the name of a built-in task: shapes"
        raise UsageError(f"cannot read {name}: {reason_of(error)}", hint=hint) from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise UsageError(f"{name} is {what}: DATA is a JSONL file", hint=HINT)


def _object(text: str, name: str, place: int) -> Mapping[str, Any]:
    where = f"{name}, line {place}"
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON: {reason_of(error)}", hint=HINT) from None
    if not isinstance(value, dict):
        raise UsageError(f"{where} is no JSON object", hint=HINT)
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


class _Fields:
    """The fields of one line, each checked as it is read."""

    def __init__(self, where: str, given: Mapping[str, Any]) -> None:
        self._where, self._given = where, given

    def row(self, number: int, folder: Path) -> Row:
        """The line as a row."""
        question = self._words("question", self._given.get("question"))
        if not question.strip():
            self._refuse("question is empty")
        choices = self._choices()
        group = self._given.get("group")
        return Row(
            number,
            question,
            self._answers(choices),
            self._shown(folder),
            choices,
            None if group is None else self._words("group", group, numbers=True),
        )

    def _shown(self, folder: Path) -> Any:
        """What opens the files: a list of pictures, or one video."""
        given = [name for name in ("image", "images", "video") if name in self._given]
        if len(given) != 1:
            self._refuse(f"{' and '.join(given)} together" if given else "no image and no video")
        [name] = given
        value = self._given[name]
        if name == "images":
            files = self._list(name, value)
            if len(files) > MOST_MEDIA:
                self._refuse(f"{len(files)} images, which are more than {MOST_MEDIA}")
        else:
            files = [value]
        paths = [self._file(name, one, folder) for one in files]
        return partial(_open, name, paths)

    def _file(self, name: str, value: Any, folder: Path) -> Path:
        text = self._words(name, value)
        if not text or "\0" in text:
            self._refuse(f"{name} names no file")
        return folder / text

    def _answers(self, choices: Sequence[str]) -> tuple[str, ...]:
        given = [name for name in ("answers", "answer") if self._given.get(name) is not None]
        if len(given) > 1:
            self._refuse("answers and answer together")
        if not given:
            return ()
        [name] = given
        value = self._given[name]
        values = self._list(name, value) if isinstance(value, list) else [value]
        found = tuple(self._words(name, one, numbers=True) for one in values)
        return tuple(self._letter(one, choices) for one in found) if choices else found

    def _choices(self) -> tuple[str, ...]:
        value = self._given.get("choices")
        if value is None:
            return ()
        values = self._list("choices", value)
        found = tuple(self._words("choices", one, numbers=True) for one in values)
        if not 2 <= len(found) <= len(LETTERS) or len(set(found)) != len(found):
            self._refuse(f"choices are 2 to {len(LETTERS)} different texts")
        return found

    def _letter(self, answer: str, choices: Sequence[str]) -> str:
        """The letter of the choice that is right."""
        if answer in choices:
            return LETTERS[choices.index(answer)]
        if answer not in tuple(LETTERS[: len(choices)]):
            self._refuse(f"answer {_shown(answer)} is none of the choices, and no letter of one")
        return answer

    def _list(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not value:
            self._refuse(f"{name} {_shown(value)} is no list of something")
        found: list[Any] = value
        return found

    def _words(self, name: str, value: Any, numbers: bool = False) -> str:
        if numbers and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            self._refuse(f"no {name}" if value is None else f"{name} {_shown(value)} is no text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self._refuse(f"{name} holds half a character (a lone surrogate)")
        return str(value)

    def _refuse(self, what: str) -> NoReturn:
        raise UsageError(f"{self._where}: {what}", hint=HINT)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _open(kind: str, files: Sequence[Path], frames: int) -> list[Media]:
    if kind == "video":
        return [load_video(file, frames) for file in files]
    return [load_image(file) for file in files]
