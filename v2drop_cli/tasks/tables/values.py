"""A row of a table → the fields of a question, as a line of a JSONL file has them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from v2drop_cli.tasks.fields import Fields, shown
from v2drop_cli.tasks.tables.column import (
    ANSWERS,
    CHOICES,
    GROUP,
    IMAGE,
    INDEX,
    MEDIA,
    QUESTION,
    Column,
    Taken,
)

HINT = "--columns names others: answer_index=… for places of choices from 0; docs/eval.md"


def fields_of(where: str, row: Mapping[str, Any], taken: Taken) -> Fields:
    """The fields of a question.

    Raises:
        UsageError: a value is none that its column can have, or is not the place of a choice.
    """
    raw = Fields(where, {}, HINT)
    found: dict[str, Any] = {}
    for name, columns in taken.items():
        if name not in MEDIA:
            try:
                values = [column.of(row) for column in columns]
            except ValueError as error:
                raw.refuse(f"{columns[0].name}: {error}")
            found[name] = _joined(name, values) if len(values) > 1 else values[0]
    choices = _choices(found.get(CHOICES))
    answers = found.get(ANSWERS)
    if found.get(INDEX) is not None:
        answers = _placed(found[INDEX], choices, raw)
    if isinstance(answers, list):
        answers = [one for one in answers if one is not None] or None
    return Fields(
        where,
        {
            QUESTION: found.get(QUESTION),
            ANSWERS: answers,
            CHOICES: choices,
            GROUP: found.get(GROUP),
        },
        HINT,
    )


def media_of(row: Mapping[str, Any], columns: Sequence[Column]) -> Any:
    """What is shown: one value, or a list of some.

    Raises:
        ValueError: a part of a column is not there.
    """
    values = [column.of(row) for column in columns]
    return _joined(IMAGE, values) if len(values) > 1 else values[0]


def _joined(name: str, values: Sequence[Any]) -> Any:
    """The values of several columns as those of one.

    >>> _joined("choices", ["a", "b", None]), _joined("image", ["1.png", None, "3.png"])
    (['a', 'b'], ['1.png', '3.png'])
    """
    if name == QUESTION:
        return "\n".join(str(one) for one in values if one is not None)
    if name != CHOICES:
        return [one for one in values if one is not None]
    found = list(values)
    while found and found[-1] is None:  # questions have fewer choices than there are columns
        found.pop()
    return found or None


def _choices(value: Any) -> Any:
    """Some tables keep a list as the text of one: ``"['cat', 'dog']"``."""
    if not isinstance(value, str) or not value.strip().startswith("["):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _placed(place: Any, choices: Any, raw: Fields) -> Any:
    """The choice at a place that is counted from 0."""
    if isinstance(place, str) and place.isascii() and place.strip().isdigit() and len(place) < 9:
        place = int(place)
    whole = isinstance(place, int | float) and not isinstance(place, bool) and place == place // 1
    if not isinstance(choices, list) or not whole or not 0 <= place < len(choices):
        raw.refuse(f"answer_index {shown(place)} is the place of none of the choices, from 0")
    return choices[int(place)]
