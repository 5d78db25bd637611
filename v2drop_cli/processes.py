"""Which of several processes this one is, by what launchers put in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from v2drop_cli.errors import UsageError

RANK, COUNT, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
# What accelerate sets whatever it starts; for one process it sets no rank.
_ACCELERATE = "ACCELERATE_MIXED_PRECISION"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that were started together, and which of them this is.

    Attributes:
        rank: this one's number, from 0.
        count: how many there are.
        local: this one's number among those of its machine, from 0.
        launched: whether a launcher says so, if only by starting a single one.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    launched: bool = False

    @classmethod
    def here(cls, environment: Mapping[str, str] | None = None) -> Processes:
        """As the environment says; one process where it says nothing.

        Raises:
            UsageError: it says something that cannot be.

        >>> Processes.here({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
        Processes(rank=1, count=4, local=1, launched=True)
        >>> Processes.here({"RANK": "3"}), Processes.here({}).several
        (Processes(rank=0, count=1, local=0, launched=False), False)
        """
        environment = os.environ if environment is None else environment
        if COUNT not in environment:
            return cls(launched=_ACCELERATE in environment)
        count = _number(environment, COUNT)
        rank = _number(environment, RANK)
        # Where nobody says, all are taken to be on one machine.
        local = _number(environment, LOCAL_RANK) if LOCAL_RANK in environment else rank
        if not rank < count:
            raise _nonsense(f"{RANK}={rank} with {COUNT}={count}")
        return cls(rank, count, local, launched=True)

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise _nonsense(f"{name}={text!r}" if name in environment else f"{COUNT} without {name}")
    return int(text)


def _nonsense(what: str) -> UsageError:
    return UsageError(
        f"the environment says {what}: which of several processes this is cannot be told",
        hint=f"start it with torchrun or accelerate launch; or unset {COUNT}",
    )
