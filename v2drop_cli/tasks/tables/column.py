"""A column of a table: what it holds, and which field of a question it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from v2drop_cli.errors import UsageError, unknown_name

QUESTION, IMAGE, VIDEO, ANSWERS, INDEX, CHOICES, GROUP = FIELDS = (
    "question",
    "image",
    "video",
    "answers",
    "answer_index",
    "choices",
    "group",
)
"""The fields of a question; a column may be taken for each. ``answer_index`` is the place of the
right choice, from 0; ``image`` is one picture or a list of them."""
MEDIA = (IMAGE, VIDEO)

TEXT, LABEL, WHOLE, NUMBER, BYTES, FILE, STRUCT, NOTHING, ANYTHING, OTHER = (
    "text",  # of a picture: the name of its file
    "label",  # a number that stands for a name: a ClassLabel of datasets
    "whole",  # a whole number
    "number",
    "bytes",
    "file",  # bytes, or a path: an Image or Video of datasets
    "struct",
    "nothing",  # null in every row
    "anything",  # of text files: each row is looked at for itself
    "other",
)
LIST = "list of "
_ONE = {
    TEXT: FIELDS,
    LABEL: (ANSWERS, GROUP),
    WHOLE: (ANSWERS, INDEX, GROUP),
    NUMBER: (ANSWERS, INDEX, GROUP),
    BYTES: MEDIA,
    FILE: MEDIA,
    NOTHING: FIELDS,
    ANYTHING: FIELDS,
}
_SEVERAL = {
    TEXT: (ANSWERS, CHOICES, IMAGE),
    LABEL: (ANSWERS,),
    WHOLE: (ANSWERS, CHOICES),
    NUMBER: (ANSWERS, CHOICES),
    BYTES: (IMAGE,),
    FILE: (IMAGE,),
    NOTHING: (ANSWERS,),
}
# What one of several columns may hold that make up a field together.
_PART = {
    QUESTION: (TEXT, ANYTHING, NOTHING),
    IMAGE: (TEXT, BYTES, FILE, ANYTHING, NOTHING),
    ANSWERS: (TEXT, LABEL, WHOLE, NUMBER, ANYTHING, NOTHING),
    CHOICES: (TEXT, LABEL, WHOLE, NUMBER, ANYTHING, NOTHING),
}


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a part of one.

    Attributes:
        name: with those it is part of: ``answers.text``.
        kind: one of the words above, or a list of one.
        holds: the same as the file calls it, for messages.
        parts: of a struct, by name.
        plain: makes of its value one that JSON could hold; raises a ``ValueError`` that says why
            it cannot.
        keys: where its value is in a row; empty where the name says it.
    """

    name: str
    kind: str
    holds: str
    parts: Mapping[str, Column] = field(default_factory=dict)
    plain: Callable[[Any], Any] = _same
    keys: tuple[str, ...] = ()

    def fits(self, wanted: str) -> bool:
        """Whether it may be that field of a question."""
        if self.kind.startswith(LIST):
            return wanted in _SEVERAL.get(self.kind.removeprefix(LIST), ())
        return wanted in _ONE.get(self.kind, ())

    def fits_beside_others(self, wanted: str) -> bool:
        """Whether it may be one of several columns that are that field together."""
        return self.kind in _PART.get(wanted, ())

    @property
    def top(self) -> str:
        """The column that it is, or is a part of."""
        return (self.keys or (self.name,))[0]

    def of(self, row: Mapping[str, Any]) -> Any:
        """Its value in ``row``: of a part of a list's elements, a list.

        Raises:
            ValueError: the value is none that this column can have.
        """
        return self.plain(_walked(row, self.keys or (self.name,)))


Taken = Mapping[str, tuple[Column, ...]]
"""Which columns are which field of a question."""


def _walked(value: Any, path: Sequence[str]) -> Any:
    if not path or value is None:
        return value
    if isinstance(value, list):
        return [_walked(one, path) for one in value]
    if not isinstance(value, Mapping):
        raise ValueError(f"{path[0]} is no part of {value!r:.40}")
    return _walked(value.get(path[0]), path[1:])


def column_named(table: str, name: str, columns: Mapping[str, Column]) -> Column:
    """The column of that name, or the part of one: ``answers.text``.

    Raises:
        UsageError: there is none; the nearest names are told.
    """
    if name in columns:
        return columns[name]
    head, dot, rest = name.partition(".")
    while dot:
        if head in columns:
            found = _part(columns[head], rest)
            if found is not None:
                return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    names = [*columns, *(f"{one.name}.{part}" for one in columns.values() for part in one.parts)]
    raise UsageError(
        f"{table} has no column {name!r}", hint=unknown_name("column", name, names).hint
    )


def _part(column: Column, rest: str) -> Column | None:
    if column.kind == ANYTHING:  # what is in it, each row shows
        keys = (column.name, *rest.split("."))
        return Column(f"{column.name}.{rest}", ANYTHING, column.holds, keys=keys)
    for name, part in column.parts.items():
        if rest == name:
            return part
        if rest.startswith(f"{name}."):
            return _part(part, rest.removeprefix(f"{name}."))
    return None


def listed(columns: Iterable[Column]) -> str:
    """Columns with what they hold, as a message shows them; not all of very many."""
    told = [f"{one.name} ({one.holds[:60]})" for one in columns]
    more = f", and {len(told) - 20} more" if len(told) > 20 else ""
    return ", ".join(told[:20]) + more
