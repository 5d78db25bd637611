"""A JSONL file of questions: one object a line, read again and again and never held whole.

    {"image": "a.png", "question": "what is it?", "answers": ["a cat"], "group": "animals"}

``image``, ``images`` (a list) or ``video`` names files beside the data; ``answers`` (or ``answer``)
are those that are right; ``choices`` make it a multiple choice, whose answer is one of them or its
letter. Other keys are nobody's business. Every line is looked at before a model is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.fields import Fields
from v2drop_cli.tasks.lines import Lines, check_file
from v2drop_cli.tasks.rows import Row, surveyed

HINT = 'one object a line: {"image": "cat.jpg", "question": "what is it?", "answers": ["a cat"]}'


class Jsonl:
    """The questions of a file; see :class:`~v2drop_cli.tasks.rows.Data`.

    Raises:
        UsageError: it cannot be read, or a line of it is no question: the first one is named.
    """

    columns: str | None = None
    told: str | None = None

    def __init__(self, name: str) -> None:
        self.name, self._path = name, Path(name)
        check_file(name, self._path, f"{HINT}; or the name of a built-in task: shapes")
        self.files: tuple[Path, ...] = (self._path,)
        self._lines = Lines(name, self._path, HINT)
        self._digest = hashlib.sha256()
        self.count, self.metric, self.labelled = surveyed(self.rows())
        if not self.count:
            raise UsageError(f"{name} holds no questions", hint=HINT)
        self.digest = self._digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """All rows in order.

        Raises:
            UsageError: a line is no question.
        """
        self._digest, number = hashlib.sha256(), 0
        for place, line in self._lines.read():
            self._digest.update(line)
            text = self._lines.text(place, line)
            if text.strip():
                given = self._lines.json(place, text)
                fields = Fields(self._lines.where(place), given, HINT)
                yield fields.row(number, fields.files(self._path.parent))
                number += 1
