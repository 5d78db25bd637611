"""Whether ``v2drop tune`` finds more than chance does, and whether it lasts: on ``tiny``.

    python -m benchmarks.tiny.tune_study --budget 33% --seeds 3

Every sampler gets the same trials, the same known schedules to begin with and the same rows. Each
seed has questions of its own, and others that are held out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import RESULTS, origin, read, where, write
from v2drop_cli.bench.asking import How
from v2drop_cli.commands.tune import TuneOptions, tune
from v2drop_cli.models.loading import load
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records.tuning import TrialJournal, Tuning
from v2drop_cli.tasks.built_in import Shapes
from v2drop_cli.tasks.rows import Data, Row
from v2drop_cli.tasks.scores.known import metric_for

NAME = "tune-tiny.json"
_HEAD = (
    "budget", "seed", "rows", "sampler", "tuned", "calibration: KL over the default's",
    "held out: KL over the default's", "score: dense", "default", "tuned",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Search with every sampler and seed, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", nargs="+", default=["33%"])
    parser.add_argument("--samplers", nargs="+", default=["tpe", "random"])
    parser.add_argument("--methods", nargs="+", default=["v2drop"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rows", type=int, default=144, help="to calibrate; 36 are of every kind")
    parser.add_argument("--held-out", type=int, default=288)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--output", type=Path, default=RESULTS / NAME)
    given = parser.parse_args(arguments)
    content = {**origin(), "runs": []}
    for run in _runs(given):
        content["runs"].append(run)
        write(given.output, content)
        print(f"seed {run['seed']} {run['sampler']}: {run['summary']}", file=sys.stderr)


class First:
    """The first rows of other questions; see :class:`~v2drop_cli.tasks.rows.Data`."""

    def __init__(self, data: Data, count: int) -> None:
        self._data, self.count = data, min(count, data.count)
        self.name, self.digest = f"{data.name}, {self.count} rows", data.digest
        self.metric, self.labelled = data.metric, data.labelled
        self.files, self.columns, self.told = data.files, data.columns, data.told

    def rows(self) -> Iterator[Row]:
        """As many as there are to be."""
        return islice(self._data.rows(), self.count)


def _runs(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    loaded = load("tiny", LoadOptions(device="cpu"))
    metric = metric_for(Shapes(), None, fidelity=True)
    for budget in given.budget:
        for seed in range(given.seeds):
            data = First(Shapes(f"shapes:{2 * seed}"), given.rows)
            held_out = First(Shapes(f"shapes:{2 * seed + 1}"), given.held_out)
            for sampler in given.samplers:
                options = TuneOptions(
                    model_name="tiny",
                    methods=tuple(given.methods),
                    how=How(metric, max_new_tokens=16, frames=8, seed=seed),
                    budget=budget,
                    tolerate=None,
                    by_score=False,
                    held_out=held_out,
                    limit=max(data.count, held_out.count),
                    batch_size=given.batch_size,
                    sampler=sampler,
                    trials=given.trials,
                )
                torch.manual_seed(seed)
                yield _kept(budget, tune(loaded, data, options, TrialJournal(None)))


def _kept(budget: str, found: Tuning) -> dict[str, Any]:
    """What of a search the page needs."""
    from v2drop_cli.report.tune_view import summarised_tuning

    document = summarised_tuning(found, None).to_json()
    best = found.best
    return {
        "budget": budget,
        "sampler": found.search.sampler,
        "seed": found.request.seed,
        "known": found.search.known,
        "rows": [side.rows for side in found.sides],
        "values": [trial.value for trial in found.trials],
        "tuned": None if best is None else f"{best.method} {best.schedule}",
        "sides": document["sides"],
        "carries_over": found.carries_over,
        "summary": document["summary"],
    }


def table() -> Iterator[str]:
    """Samplers against each other, and the tuned schedule against the default on rows held out."""
    study = read(NAME)
    if study is None:
        yield "Not measured yet: `python -m benchmarks.tiny.tune_study`."
        return
    yield f"| {' | '.join(_HEAD)} |"
    yield "| --- | ---: | ---: | --- | --- |" + " ---: |" * (len(_HEAD) - 5)
    for run in study["runs"]:
        yield f"| {' | '.join(_cells(run))} |"
    yield ""
    yield from _against_chance(study["runs"])
    yield ""
    yield where(study)


def _cells(run: dict[str, Any]) -> Iterator[str]:
    calibration, held_out = run["sides"]
    rows = " + ".join(map(str, run["rows"]))
    yield from (run["budget"], str(run["seed"]), rows, run["sampler"], f"`{run['tuned']}`")
    yield f"{calibration['kl']['ratio']:.2f}"
    kl = held_out["kl"]
    low, high = kl["ci95"] or (float("nan"), float("nan"))
    yield f"{kl['ratio']:.2f} ({low:.2f} to {high:.2f}): {kl['verdict']}"
    for arm in held_out["arms"]:
        yield f"{100 * arm['quality']['score']['mean']:.1f} %"


def _against_chance(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The best KL divergence so far, on calibration rows, after so many trials."""
    trials = len(runs[0]["values"])
    marks = [count for count in (10, 20, 30, 40) if count <= trials] or [trials]
    yield f"| best KL after trials | {' | '.join(map(str, marks))} |"
    yield "| --- |" + " ---: |" * len(marks)
    for run in runs:
        best = list(accumulate(run["values"], min))
        cells = (f"{best[count - 1]:.4f}" for count in marks)
        yield f"| {run['budget']}, seed {run['seed']}, {run['sampler']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
