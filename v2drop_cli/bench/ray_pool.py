"""Batches of questions over Ray's actors, each of which holds one model.

Thin on purpose: batches go in, what all arms said to their rows comes out, in the same order. Ray
starts an actor anew when it has died and asks it again; each batch has one result, whoever gave it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.asking import Asker, How, broken
from v2drop_cli.bench.prompt_arms import PromptArms
from v2drop_cli.errors import DeviceError, V2DropError
from v2drop_cli.models.load_errors import first_line
from v2drop_cli.models.loading import load
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records.journal import RowResult
from v2drop_cli.tasks.rows import Row

TRIES = 3
"""Of a batch whose actor dies. One that kills every actor must not be asked for ever."""
AHEAD = 2
"""Batches that an actor has before it, so that it need not wait for the next one."""


@dataclass(frozen=True, slots=True)
class Model:
    """What an actor needs to ask as this process would.

    Attributes:
        name: the model, as it was asked for.
        load: how to load it.
        options: the arms that were asked for.
        first: those of the first prompt, budgets met, which all actors must share.
        n_vision: the vision tokens of that prompt.
        how: how rows are asked.
    """

    name: str
    load: LoadOptions
    options: ArmOptions
    first: tuple[Arm, ...]
    n_vision: int
    how: How


_Begun = tuple[int, Any, Sequence[Row]]
"""The place of an actor, its result to come, and what it was asked."""


class Worker:
    """What runs in an actor."""

    def __init__(self, model: Model) -> None:
        loaded = load(model.name, model.load)
        arms = PromptArms(model.options, loaded, model.first, model.n_vision)
        self._asker = Asker(loaded, arms, model.how)

    def ready(self) -> None:
        """Comes back once the model is loaded."""

    def ask(self, rows: Sequence[Row]) -> list[RowResult]:
        """What all arms say to ``rows``."""
        return self._asker.ask(rows)


class Pool:
    """Some actors.

    Args:
        ray: the package, connected.
        model: what each of them holds.
        workers: how many there are.

    Raises:
        V2DropError: they cannot be had, or cannot load the model.
    """

    def __init__(self, ray: Any, model: Model, workers: int) -> None:
        self._ray = ray
        gpu = model.load.device.startswith("cuda")
        _check_room(ray, workers, gpu)
        actor = ray.remote(
            num_cpus=1, num_gpus=int(gpu), max_restarts=-1, max_task_retries=TRIES - 1
        )(Worker)
        # Not by ray.put: an actor that is started anew could find that object gone.
        self._actors = [actor.remote(model) for _ in range(workers)]
        self._load = [0] * workers
        try:
            ray.get([one.ready.remote() for one in self._actors])
        except ray.exceptions.RayError as error:
            raise V2DropError(
                f"a worker of Ray cannot load {model.name}: {_reason(error)}",
                hint="the model, and what DATA names, must be there on each machine of the cluster",
            ) from error

    def ask(self, batches: Iterable[Sequence[Row]]) -> Iterator[list[RowResult]]:
        """The results of each batch, in their order."""
        under_way: deque[_Begun] = deque()
        for rows in batches:
            if len(under_way) == AHEAD * len(self._actors):
                yield self._next(under_way)
            under_way.append(self._begun(rows))
        while under_way:
            yield self._next(under_way)

    def _begun(self, rows: Sequence[Row]) -> _Begun:
        """A batch for the actor that has the least to do."""
        place = self._load.index(min(self._load))
        self._load[place] += 1
        return place, self._actors[place].ask.remote(rows), rows

    def _next(self, under_way: deque[_Begun]) -> list[RowResult]:
        place, result, rows = under_way.popleft()
        try:
            found: list[RowResult] = self._ray.get(result)
        except self._ray.exceptions.RayActorError as error:
            return self._apart(rows, error)
        finally:
            self._load[place] -= 1
        return found

    def _apart(self, rows: Sequence[Row], error: Exception) -> list[RowResult]:
        """Rows of a batch that no actor survived, one by one: those that kill are broken."""
        if len(rows) == 1:
            return [broken(rows[0], V2DropError(f"{TRIES} workers died of it: {_reason(error)}"))]
        return [result for row in rows for result in self._alone(row)]

    def _alone(self, row: Row) -> list[RowResult]:
        return self._next(deque([self._begun([row])]))


@contextmanager
def pool(model: Model, workers: int) -> Iterator[Pool]:
    """Actors on the cluster that ``RAY_ADDRESS`` names, or on this machine alone.

    Raises:
        V2DropError: the actors cannot be had.
    """
    import ray

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield Pool(ray, model, workers)
    finally:
        ray.shutdown()


def _check_room(ray: Any, workers: int, gpu: bool) -> None:
    """Raise where the cluster is too small: Ray would wait for it to grow, and say nothing."""
    kind = "GPU" if gpu else "CPU"
    there = int(ray.cluster_resources().get(kind, 0))
    if workers > there:
        raise DeviceError(
            f"{workers} workers of Ray, one {kind} each, and there are {there}",
            hint=f"--workers {there}" if there else "--device cpu",
        )


def _reason(error: Exception) -> str:
    """What went wrong, not how Ray came to hear of it."""
    cause = getattr(error, "cause", None)
    return first_line(cause if isinstance(cause, Exception) else error)
