"""Which data a name means."""

from __future__ import annotations

from v2drop_cli.tasks.built_in import NAME, Shapes
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.rows import Data


def open_data(name: str) -> Data:
    """A built-in task, or the JSONL file of that name; all of it is looked at here.

    Raises:
        UsageError: there is none, or a line of it is no question.
    """
    if name.partition(":")[0] == NAME:
        return Shapes(name)
    return Jsonl(name)
