"""Which methods a search can move: those that follow a schedule's layers and counts."""

from __future__ import annotations

from v2drop_cli.errors import ScheduleError, UsageError, V2DropError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.schedule import Drop, Schedule


def droppable_layers(text: str, loaded: LoadedModel) -> tuple[tuple[int, ...], V2DropError]:
    """The layers at which the method can drop a part of the tokens, and what to say of none."""
    method = get_method(text)
    refused: V2DropError = UsageError(
        f"{method.name} cannot be tuned: it keeps as many tokens as it chooses, whatever a "
        "schedule says",
        hint="v2drop eval compares such methods; tune one that follows counts, such as v2drop",
    )
    if method.chooses_count:
        return (), refused
    found = []
    for layer in range(loaded.n_layers):
        schedule = Schedule((Drop(layer, keep=0.5),))
        try:
            loaded.check(schedule)
            method.check(schedule)
        except ScheduleError as error:
            refused = error
            continue
        found.append(layer)
    return tuple(found), refused
