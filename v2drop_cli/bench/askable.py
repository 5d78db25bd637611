"""The first row that can be asked: on it methods are tried, and budgets met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from v2drop_cli.bench.asking import broken
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.errors import V2DropError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records.journal import RowResult
from v2drop_cli.tasks.rows import Row


def first_askable(
    loaded: LoadedModel, rows: Iterable[Row], frames: int, nvml: Nvml, name: str
) -> Passes:
    """Passes over the first of ``rows`` that can be asked.

    Args:
        loaded: the model.
        rows: in order; no more are read than need be.
        frames: of a video, at most.
        nvml: of the model's device.
        name: of the data, for messages.

    Raises:
        V2DropError: none can.
    """
    refused = []
    for row in rows:
        try:
            return Passes(Subject(loaded, row.show(frames), row.prompt), nvml)
        except Exception as error:
            refused.append(broken(row, error))
    raise nothing_askable(name, refused)


def nothing_askable(name: str, refused: Sequence[RowResult]) -> V2DropError:
    """What to say where all rows are broken."""
    first = refused[0]
    return V2DropError(
        f"none of the {len(refused)} rows of {name} can be asked; row {first.row}: {first.broken}",
        hint="rows count from 0; files are named relative to the folder of DATA",
    )
