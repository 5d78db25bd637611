"""Searches whose numbers a reader can count."""

from __future__ import annotations

from dataclasses import replace

from tests.report.eval_factory import REQUEST
from v2drop_cli.judge.held_out import by_kl, by_score, tolerated
from v2drop_cli.judge.paired import wilson
from v2drop_cli.records import CaveatKind
from v2drop_cli.records.evaluation import BrokenRow, Score
from v2drop_cli.records.tuning import (
    ALL_TRIALS,
    ArmOn,
    Cost,
    Quality,
    Search,
    Side,
    Trial,
    TuneData,
    Tuning,
)
from v2drop_cli.tuning.search import Goal, best, marked

SCHEDULES = ("3:0.4691,17:0.4691,22:0", "5:0.41,12:0.35", "2:0.2889", "8:0.3,20:0.02", "4:0.24")
KLS = (0.08, 0.04, 0.31, 0.05, 0.2)
ROWS = 100


def score(mean):
    return Score(None, ROWS, mean, wilson(mean, ROWS))


def quality(kl, by="fidelity"):
    if by != "fidelity":
        return Quality(None, None, score(round(1 - kl, 2)))
    return Quality(kl, round(1 - kl / 4, 4), None)


def trials(goal, by):
    found = []
    for number, (schedule, kl) in enumerate(zip(SCHEDULES, KLS, strict=True)):
        share = 1 / 3 - 0.01 * number
        cost = Cost(share, 2.4e12 * share, 0.04 - 0.002 * number)
        worth = quality(kl, by)
        loss = kl / 4
        origin = "known" if number == 0 else "drawn"
        value = goal.value(cost, worth, loss)
        found.append(
            Trial(number, origin, {"drops": 2}, "v2drop", schedule, share, cost, worth, loss, value)
        )
    return marked(found, goal)


def arm(label, schedule, kl, cost, mean=None):
    loss = kl / 4
    method = None if schedule is None else "v2drop"
    worth = Quality(kl, 1 - loss, None if mean is None else score(mean))
    return ArmOn(label, method, schedule, cost, worth, loss, wilson(loss, ROWS))


def side(name, kl, scored):
    """The default has a KL of 0.08 on each row, the tuned one `kl` on average."""
    cost = Cost(1 / 3, 0.8e12, 0.04)
    rows = [kl * (1 + 0.5 * (-1) ** number) for number in range(ROWS)]
    theirs = [0.08 * (1 + 0.25 * (-1) ** (number // 2)) for number in range(ROWS)]
    scores = [[float(number >= wrong) for number in range(ROWS)] for wrong in (8, 12)]
    means = (0.95, 0.88, 0.92) if scored else (None, None, None)
    return Side(
        name=name,
        rows=ROWS,
        arms=(
            arm("dense", None, 0.0, Cost(1.0, 2.4e12, 0.08), means[0]),
            arm("default", SCHEDULES[0], 0.08, cost, means[1]),
            arm("tuned", SCHEDULES[1], kl, replace(cost, prefill_s=0.038), means[2]),
        ),
        kl=by_kl(rows, theirs),
        score=by_score(*scores) if scored else None,
    )


def tuned(held_out=0.06, by_score=False, scored=False, tolerate=None) -> Tuning:
    """A search that gains on calibration rows, and has a KL of `held_out` on the others."""
    by = "exact_match" if by_score else "fidelity"
    goal = Goal(by_score, tolerate)
    found = trials(goal, by)
    sides = tuple(
        side(name, kl, scored or by_score)
        for name, kl in (("calibration", 0.04), ("held out", held_out))
    )
    last = sides[-1]
    judged = last.score if by_score else last.kl
    number = best(found, goal)
    return Tuning(
        environment={"v2drop": "1.0"},
        data=TuneData("street questions.jsonl", "0" * 64, 207, None, None),
        request=REQUEST,
        search=Search(by, None if tolerate else 1 / 3, tolerate, ("v2drop",), "tpe", len(found), 1),
        trials=found,
        tuned=number,
        sides=sides if number is not None else (),
        carries_over=judged.verdict if number is not None else None,
        tolerated=tolerated(last.arms[-1].loss_ci95, tolerate) if tolerate and number else None,
        broken=(BrokenRow(200, "no such file: \x1b[31m0.png"),),
        stopped_by=ALL_TRIALS,
        warnings=(CaveatKind.DEVICE_CPU.caveat(),),
    )
