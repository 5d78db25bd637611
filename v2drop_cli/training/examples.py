"""Images with questions, one JSON object a line: what methods are fitted on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from v2drop_cli.errors import UsageError

HINT = 'each line is an object like {"image": "cat.jpg", "question": "What is this?"}'


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one picture.

    Attributes:
        image: its file.
        question: the prompt.
    """

    image: Path
    question: str


def read_examples(path: Path) -> list[Example]:
    """All of a JSONL file, in order; images are named relative to its folder. Blank lines are none.

    Raises:
        UsageError: it cannot be read, is empty, or a line is no question about an image.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint=HINT) from None
    found = list(_examples(path, lines))
    if not found:
        raise UsageError(f"{path} holds no questions", hint=HINT)
    return found


def _examples(path: Path, lines: list[str]) -> Iterator[Example]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except ValueError:
            raise UsageError(f"{where} is no JSON", hint=HINT) from None
        given = value if isinstance(value, dict) else {}
        image, question = given.get("image"), given.get("question")
        if not (isinstance(image, str) and image and isinstance(question, str)):
            raise UsageError(f"{where} has no image or no question", hint=HINT)
        found = path.parent / image
        if not found.is_file():
            raise UsageError(f"{where}: there is no image {found}", hint=HINT)
        yield Example(found, question)
