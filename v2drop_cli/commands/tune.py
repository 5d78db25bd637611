"""``v2drop tune``: search where to drop and how much; what is claimed is decided by rows held out.

Trials are kept as they end (:class:`~v2drop_cli.records.tuning.TrialJournal`), and what comes next
depends on them and the seed alone, so that a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from v2drop_cli.bench.arms import ArmOptions, budget_tokens
from v2drop_cli.bench.askable import first_askable
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.watch import Watch
from v2drop_cli.commands.asked_model import request_to, settings_of
from v2drop_cli.errors import UsageError
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.methods.registry import ALL
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import INTERRUPTED
from v2drop_cli.records.tuning import FIDELITY, Search, TrialJournal, TuneData, Tuning
from v2drop_cli.tasks.rows import Data, Row
from v2drop_cli.tuning.asked_again import Questions
from v2drop_cli.tuning.beginnings import beginnings
from v2drop_cli.tuning.points import fits
from v2drop_cli.tuning.samplers import sampler_of
from v2drop_cli.tuning.search import Goal, Plan, best, marked, search
from v2drop_cli.tuning.sides import Measuring, judged
from v2drop_cli.tuning.space import Space
from v2drop_cli.tuning.which import droppable_layers
from v2drop_cli.tuning.worth import flops_of


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to search; see ``v2drop tune --help``.

    Attributes:
        by_score: whether for the score by ``how.metric``; else for fidelity.
        held_out: data of its own; ``None`` for a half of the rows.
        limit: the most rows of each data.
    """

    model_name: str
    methods: tuple[str, ...]
    how: How
    budget: str | None
    tolerate: float | None
    by_score: bool
    held_out: Data | None
    limit: int
    batch_size: int
    sampler: str
    trials: int

    def settings(self, data: Data) -> dict[str, Any]:
        """What a search that is gone on with must have in common with this one, as far as typed.

        Not among it: how many trials there are, for more of them are no other search.
        """
        how, other = self.how, self.held_out
        columns = {
            "columns": data.columns,
            "held-out columns": None if other is None else other.columns,
        }
        return {
            **{name: value for name, value in columns.items() if value is not None},
            "DATA": data.digest,
            "held-out DATA": None if other is None else other.digest,
            "number of rows": self.limit,
            "goal": self.by,
            "budget": self.budget,
            "tolerated loss": self.tolerate,
            "model": self.model_name,
            "set of methods": self.methods,
            "sampler": self.sampler,
            "seed": how.seed,
            "longest answer": how.max_new_tokens,
            "batch size": self.batch_size,
            "number of frames": how.frames,
        }

    @property
    def by(self) -> str:
        """What is tuned for."""
        metric = self.how.metric
        return metric.name if self.by_score and metric is not None else FIDELITY

    def calibration(self, data: Data) -> Iterator[Row]:
        """The rows that are searched on."""
        for row in islice(data.rows(), self.limit):
            if self.held_out is not None or not self._is_held_out(row):
                yield row

    def kept_back(self, data: Data) -> Iterator[Row]:
        """The rows that the search never sees."""
        rows = (data if self.held_out is None else self.held_out).rows()
        for row in islice(rows, self.limit):
            if self.held_out is not None or self._is_held_out(row):
                yield row

    def _is_held_out(self, row: Row) -> bool:
        """One of each two neighbours, drawn: data may ask their questions in turn."""
        pair, place = divmod(row.number, 2)
        return random.Random(f"{self.how.seed} held out {pair}").randrange(2) == place


def tune(
    loaded: LoadedModel,
    data: Data,
    options: TuneOptions,
    journal: TrialJournal,
    watch: Watch | None = None,
) -> Tuning:
    """Try what ``journal`` does not have yet, and compare what is best with the default.

    Ctrl-C ends the search, not the command: what was found is marked partial.

    Raises:
        UsageError: the journal is of another search, or nothing can be held out.
        V2DropError: no row can be asked, or no method searched.
        KeyboardInterrupt: interrupted before a trial was over.
    """
    watch = watch or Watch()
    sampler = sampler_of(options.sampler)
    with Nvml(loaded.device) as nvml:
        rows = options.calibration(data)
        passes = first_askable(loaded, rows, options.how.frames, nvml, data.name)
        space, shape = _space(loaded, passes, options, watch)
        journal.begin({**options.settings(data), **_resolved(loaded, space)})
        seed, scored = options.how.seed, options.how.metric is not None
        measuring = Measuring(shape, flops_of(loaded), options.by_score, scored, seed)
        calibration = _prepared(loaded, options.calibration(data), options, watch)
        known = beginnings(space, shape)[: max(1, options.trials // 2)]
        goal = Goal(options.by_score, options.tolerate)
        plan = Plan(space, goal, sampler, known, options.trials, seed)
        measure = partial(measuring.trial, questions=calibration, watch=watch)
        stopped_by = search(plan, measure, journal, watch)
        trials = marked(journal.results[: options.trials], goal)
        found = _document(loaded, data, options, space)
        found = replace(
            found,
            environment=describe(loaded.device, nvml),
            search=replace(found.search, known=len(known)),
            trials=trials,
            tuned=best(trials, goal),
            broken=tuple(calibration.broken),
            stopped_by=stopped_by,
        )
        if not found.partial and found.best is not None:
            rows = options.kept_back(data)
            kept_back = partial(_prepared, loaded, rows, options, watch)
            found = _decided(found, measuring, calibration, kept_back, watch)
        return replace(found, warnings=passes.caveats())


def _decided(
    found: Tuning,
    measuring: Measuring,
    calibration: Questions,
    kept_back: Callable[[], Questions],
    watch: Watch,
) -> Tuning:
    """``found`` with both sides of the data, and what the rows held out decide."""
    tuned = found.best
    assert tuned is not None
    try:
        held_out = kept_back()
        arms = measuring.arms(tuned, found.search.methods[0])
        named = {"calibration": calibration, "held out": held_out}
        sides = tuple(measuring.side(name, rows, arms, watch) for name, rows in named.items())
    except KeyboardInterrupt:
        return replace(found, stopped_by=INTERRUPTED)
    return judged(replace(found, sides=sides, broken=(*found.broken, *held_out.broken)))


def _prepared(
    loaded: LoadedModel, rows: Iterator[Row], options: TuneOptions, watch: Watch
) -> Questions:
    found = Questions(loaded, options.how, options.batch_size)
    found.take(rows, watch)
    if not found.count:
        why = found.broken[0].reason if found.broken else "there are too few of them"
        raise UsageError(
            f"no rows are left to tune on and to hold out: {why}",
            hint="give more rows, or --holdout DATA",
        )
    return found


def _space(
    loaded: LoadedModel, passes: Passes, options: TuneOptions, watch: Watch
) -> tuple[Space, Shape]:
    """What may be tried: of the methods asked for, those whose drops a search can move.

    Raises:
        V2DropError: one that was named by hand cannot, or none of all can.
    """
    n_vision, share = passes.vision_tokens, None
    if options.budget is not None:
        share = budget_tokens(options.budget, n_vision) / n_vision
    shape = Shape.of(loaded.family, loaded.n_layers, loaded.droppable, n_vision)
    asked = ArmOptions(methods=options.methods, seed=options.how.seed)
    layers: dict[str, tuple[int, ...]] = {}
    for arm in line_up(asked, passes, watch)[1:]:
        assert arm.method is not None
        watch.check()
        found, refused = droppable_layers(arm.method, loaded)
        within = share is None or fits(share, found[:1] or (0,), loaded.n_layers, empties=False)
        if found and (within or ALL not in options.methods):
            passes.prefill(arm)
            layers[arm.method] = found
        elif ALL not in options.methods:
            raise refused
    if not layers:
        raise refused
    return Space(loaded.n_layers, layers, share), shape


def _resolved(loaded: LoadedModel, space: Space) -> Mapping[str, Any]:
    """What is known of the search once the model is there."""
    return {
        **settings_of(loaded),
        "share of tokens": space.share,
        "methods that run": list(space.layers),
    }


def _document(loaded: LoadedModel, data: Data, options: TuneOptions, space: Space) -> Tuning:
    """What is known before anything is found."""
    other = options.held_out
    return Tuning(
        environment={},
        data=TuneData(
            name=data.name,
            digest=data.digest,
            rows=data.count,
            held_out=None if other is None else other.name,
            held_out_digest=None if other is None else other.digest,
        ),
        request=request_to(loaded, options.model_name, options.how, options.batch_size),
        search=Search(
            by=options.by,
            budget=space.share,
            tolerate=options.tolerate,
            methods=tuple(space.layers),
            sampler=options.sampler,
            trials=options.trials,
            known=0,
        ),
        trials=(),
        tuned=None,
        sides=(),
        carries_over=None,
        tolerated=None,
        broken=(),
        stopped_by="",
    )
