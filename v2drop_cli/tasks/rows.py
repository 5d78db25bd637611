"""One question: what is shown, what is asked, and which answers are right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from v2drop_cli.errors import V2DropError
from v2drop_cli.media import Media

Show = Callable[[int], Sequence[Media]]
"""What opens a row's media; a video with at most so many frames."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What the choices of a question are called."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question about pictures or a video.

    Attributes:
        number: its place in the data, from 0.
        asked: the question as it stands in the data.
        answers: all that are right; several people's, say. Empty where there are no labels.
        show: opens what is shown; a video with at most so many frames.
        choices: what the answer is one of; empty for an open question.
        group: what its score is also counted under.
    """

    number: int
    asked: str
    answers: tuple[str, ...]
    show: Show
    choices: tuple[str, ...] = ()
    group: str | None = None

    @property
    def prompt(self) -> str:
        """What the model is asked: choices are listed by letter, as lmms-eval and LLaVA do."""
        if not self.choices:
            return self.asked
        listed = (f"{LETTERS[i]}. {choice}" for i, choice in enumerate(self.choices))
        last = "Answer with the option's letter from the given choices directly."
        return "\n".join((self.asked, *listed, last))


class Data(Protocol):
    """Where rows come from.

    Attributes:
        name: as it was typed.
        digest: tells it from other data.
        count: how many rows there are.
        metric: what it is scored by, unless told otherwise.
        labelled: whether every row has answers.
        files: what is read, so that nothing is written over it; not what its rows name.
        columns: which part of a table was taken for what; ``None`` where there is no choice.
        told: what a reader must know of how it is read; ``None`` for nothing.
    """

    name: str
    digest: str
    count: int
    metric: str
    labelled: bool
    files: tuple[Path, ...]
    columns: str | None
    told: str | None

    def rows(self) -> Iterator[Row]:
        """All rows in order; none is kept."""
        ...


def surveyed(rows: Iterable[Row]) -> tuple[int, str, bool]:
    """What all rows have in common: ``count``, ``metric`` and ``labelled`` of :class:`Data`."""
    count, choices, labelled = 0, True, True
    for row in rows:
        count += 1
        choices = choices and bool(row.choices)
        labelled = labelled and bool(row.answers)
    return count, "multiple_choice" if choices else "exact_match", labelled


def questions_of(data: Data, numbers: Collection[int]) -> dict[int, Row]:
    """The rows of these numbers; those that are not there any more are left out."""
    found: dict[int, Row] = {}
    try:
        for row in islice(data.rows(), max(numbers, default=-1) + 1):
            if row.number in numbers:
                found[row.number] = row
    except V2DropError:
        return found
    return found
