"""The fields of one question, each checked as it is read, whatever file it stands in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from v2drop_cli.errors import UsageError
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.tasks.rows import LETTERS, Row, Show

MOST_MEDIA = 64
"""Of one question."""


class Fields:
    """The fields of one question.

    Args:
        where: what messages call it.
        given: its fields by name.
        hint: what to do about one that is wrong.
    """

    def __init__(self, where: str, given: Mapping[str, Any], hint: str) -> None:
        self._where, self._given, self._hint = where, given, hint

    def row(self, number: int, show: Show) -> Row:
        """The question as a row.

        Raises:
            UsageError: a field is wrong.
        """
        question = self._words("question", self._given.get("question"))
        if not question.strip():
            self.refuse("question is empty")
        choices = self._choices()
        group = self._given.get("group")
        return Row(
            number,
            question,
            self._answers(choices),
            show,
            choices,
            None if group is None else self._words("group", group, numbers=True),
        )

    def files(self, folder: Path) -> Show:
        """What opens the files that are named: a list of pictures, or one video.

        Raises:
            UsageError: none is named, or too many.
        """
        given = [name for name in ("image", "images", "video") if name in self._given]
        if len(given) != 1:
            self.refuse(f"{' and '.join(given)} together" if given else "no image and no video")
        [name] = given
        value = self._given[name]
        if name == "images":
            files = self._list(name, value)
            if len(files) > MOST_MEDIA:
                self.refuse(f"{len(files)} images, which are more than {MOST_MEDIA}")
        else:
            files = [value]
        paths = [self._file(name, one, folder) for one in files]
        return partial(_open, name, paths)

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong with this question.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self._where}: {what}", hint=self._hint)

    def _file(self, name: str, value: Any, folder: Path) -> Path:
        text = self._words(name, value)
        if not text or "\0" in text:
            self.refuse(f"{name} names no file")
        return folder / text

    def _answers(self, choices: Sequence[str]) -> tuple[str, ...]:
        given = [name for name in ("answers", "answer") if self._given.get(name) is not None]
        if len(given) > 1:
            self.refuse("answers and answer together")
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
            self.refuse(f"choices are 2 to {len(LETTERS)} different texts")
        return found

    def _letter(self, answer: str, choices: Sequence[str]) -> str:
        """The letter of the choice that is right."""
        if answer in choices:
            return LETTERS[choices.index(answer)]
        if answer not in tuple(LETTERS[: len(choices)]):
            self.refuse(f"answer {shown(answer)} is none of the choices, and no letter of one")
        return answer

    def _list(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not value:
            self.refuse(f"{name} {shown(value)} is no list of something")
        found: list[Any] = value
        return found

    def _words(self, name: str, value: Any, numbers: bool = False) -> str:
        if numbers and isinstance(value, int | float) and not isinstance(value, bool):
            if isinstance(value, float) and not math.isfinite(value):
                self.refuse(f"{name} {value} is no number")
            return str(value)
        if not isinstance(value, str):
            self.refuse(f"no {name}" if value is None else f"{name} {shown(value)} is no text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self.refuse(f"{name} holds half a character (a lone surrogate)")
        return str(value)


def shown(value: Any) -> str:
    """A value as a message quotes it: never long."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _open(kind: str, files: Sequence[Path], frames: int) -> list[Media]:
    if kind == "video":
        return [load_video(file, frames) for file in files]
    return [load_image(file) for file in files]
