"""One question: what is shown, what is asked, and which answers are right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from v2drop_cli.errors import V2DropError
from v2drop_cli.media import Media

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
    show: Callable[[int], Sequence[Media]]
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
    """

    name: str
    digest: str
    count: int
    metric: str
    labelled: bool

    def rows(self) -> Iterator[Row]:
        """All rows in order; none is kept."""
        ...


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
