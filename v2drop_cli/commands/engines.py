"""What answers batches of questions: the model in this process, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.asking import Asker
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.prompt_arms import PromptArms
from v2drop_cli.bench.ray_pool import Model, pool
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records.journal import RowResult
from v2drop_cli.tasks.rows import Row

if TYPE_CHECKING:
    from v2drop_cli.commands.evaluate import EvalOptions

Ask = Callable[[Iterable[Sequence[Row]]], Iterator[list[RowResult]]]
"""Batches → the results of each, in their order."""


@dataclass(frozen=True, slots=True)
class Ray:
    """That a cluster answers.

    Attributes:
        workers: actors, each of which holds one model.
        load: how each of them loads it.
    """

    workers: int
    load: LoadOptions


@contextmanager
def engine(options: EvalOptions, passes: Passes, first: Sequence[Arm]) -> Iterator[Ask]:
    """What answers, with the arms of the first prompt for all of them.

    Raises:
        V2DropError: the cluster cannot be had, or is too small.
    """
    loaded, n_vision = passes.loaded, passes.vision_tokens
    if options.ray is None:
        arms = PromptArms(options.arms, loaded, first, n_vision)
        asker = Asker(loaded, arms, options.how)
        yield lambda batches: (asker.ask(rows) for rows in batches)
        return
    held = options.ray.load
    model = Model(options.model_name, held, options.arms, tuple(first), n_vision, options.how)
    with pool(model, options.ray.workers) as actors:
        yield actors.ask
