"""Which data a name means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from v2drop_cli.errors import UsageError
from v2drop_cli.media.formats import name_of
from v2drop_cli.tasks.built_in import NAME, Shapes
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.rows import Data
from v2drop_cli.tasks.tables.choosing import asked_for
from v2drop_cli.tasks.tables.folders import HINT, TABLES
from v2drop_cli.tasks.tables.table import Table

# A JSONL file of this name stands beside pictures and has columns as ``datasets`` calls them.
_METADATA = "metadata.jsonl"


def open_data(name: str, columns: Sequence[str] = (), split: str | None = None) -> Data:
    """A built-in task, or the file or folder of that name; all of it is looked at here.

    Args:
        name: as typed.
        columns: of a table, ``field=column,…``; those that are not named are found by name.
        split: of a folder that holds several.

    Raises:
        UsageError: there is none, or a row of it is no question.
        MissingPackageError: it takes a package that is not installed.
    """
    if not name:
        raise UsageError("DATA is empty", hint=HINT)
    if name.partition(":")[0] == NAME:
        if columns or split is not None:
            raise UsageError(
                f"{name} is built in: it has no columns and no splits", hint="leave them out"
            )
        return Shapes(name)
    path = Path(name)
    tables = (*TABLES, ".csv")
    if columns or path.is_dir() or path.suffix.lower() in tables or path.name == _METADATA:
        return Table(name, asked_for(columns), split)
    if split is not None:
        raise UsageError(
            f"--split {split}: {name} is no folder of splits", hint="leave --split out"
        )
    form = _picture(path)
    if form is not None:
        raise UsageError(
            f"{name} is a picture ({form}); questions stand in a file of their own",
            hint="name that file, or ask one question: v2drop run --image FILE --prompt TEXT",
        )
    return Jsonl(name)


def _picture(path: Path) -> str | None:
    """The form of a picture that is taken for data; what cannot be read is told by its reader."""
    try:
        return name_of(path) if path.is_file() else None
    except (OSError, ValueError):
        return None
