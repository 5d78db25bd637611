"""Arms on rows: a trial's on the calibration rows, and in the end three arms on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.watch import Watch
from v2drop_cli.errors import UsageError
from v2drop_cli.judge.held_out import by_kl, by_score, tolerated
from v2drop_cli.judge.paired import Interval, wilson
from v2drop_cli.judge.scoreboard import retained
from v2drop_cli.methods.shape import Shape
from v2drop_cli.records import DENSE
from v2drop_cli.records.tuning import ArmOn, Cost, Quality, Side, Trial, Tuning
from v2drop_cli.schedule import Schedule
from v2drop_cli.tuning.asked_again import Asked, Questions
from v2drop_cli.tuning.beginnings import default
from v2drop_cli.tuning.points import Point, point_of
from v2drop_cli.tuning.worth import Flops, cost, loss, quality

DEFAULT, TUNED = "default", "tuned"


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured of arms, and how.

    Attributes:
        shape: the model's.
        flops: tells the work of a row.
        by_score: whether a trial's answers are scored; else it is led along dense's.
        scored: whether answers can be scored at all.
        seed: for methods that draw at random.
    """

    shape: Shape
    flops: Flops
    by_score: bool
    scored: bool
    seed: int

    def trial(
        self, point: Point, questions: Questions, watch: Watch
    ) -> tuple[Cost, Quality, float]:
        """What ``point`` costs and is worth, and its loss.

        Raises:
            UsageError: by score, and dense has none.
        """
        arm = self._arm(TUNED, point.method, point.schedule(self.shape.n_layers))
        ask = questions.scored if self.by_score else questions.along
        [rows] = ask([arm], watch)
        found = quality((), rows) if self.by_score else quality(rows, ())
        lost = loss(found, quality((), questions.dense), self.by_score)
        if lost is None:
            raise UsageError(
                "dense answers none of the calibration rows right: nothing can be kept of that",
                hint="leave out --metric, and tune for fidelity; or look at v2drop eval",
            )
        return cost(rows, self.flops), found, lost

    def arms(self, tuned: Trial, method: str) -> tuple[Arm, ...]:
        """Dense, the default of ``method`` at the tuned one's layer average, the tuned one."""
        schedule = default(method, tuned.asked, self.shape)
        point = point_of(method, schedule, self.shape.n_layers)
        usual = schedule if point is None else point.schedule(self.shape.n_layers)
        return (
            Arm(DENSE),
            self._arm(DEFAULT, method, usual),
            self._arm(TUNED, tuned.method, Schedule.parse(tuned.schedule)),
        )

    def side(self, name: str, questions: Questions, arms: Sequence[Arm], watch: Watch) -> Side:
        """The three arms on ``questions``, turn by turn."""
        led = questions.along(arms, watch)
        said = questions.scored(arms, watch) if self.scored else [[] for _ in arms]
        known = [quality(*rows) for rows in zip(led, said, strict=True)]
        found = tuple(
            ArmOn(
                label=arm.label,
                method=arm.method,
                schedule=None if arm.schedule is None else str(arm.schedule),
                cost=cost(rows, self.flops),
                quality=each,
                loss=loss(each, known[0], self.by_score),
                loss_ci95=self._loss_interval(each, len(rows), (own, said[0])),
            )
            for arm, rows, own, each in zip(arms, led, said, known, strict=True)
        )
        return Side(
            name=name,
            rows=questions.count,
            arms=found,
            kl=by_kl(_kls(led[2]), _kls(led[1])),
            score=by_score(_scores(said[2]), _scores(said[1])) if self.scored else None,
        )

    def _loss_interval(
        self, found: Quality, rows: int, said: tuple[Sequence[Asked], Sequence[Asked]]
    ) -> Interval | None:
        """Of :func:`loss`; by score the arm's and dense's answers decide."""
        if not self.by_score:
            return wilson(1 - (found.agreement or 0.0), rows)
        ours, theirs = map(_scores, said)
        _, interval = retained(ours, theirs)
        return None if interval is None else (max(0.0, 1 - interval[1]), max(0.0, 1 - interval[0]))

    def _arm(self, label: str, method: str, schedule: Schedule) -> Arm:
        return Arm(label, method, schedule, self.seed)


def judged(found: Tuning) -> Tuning:
    """``found`` with what its rows held out decide."""
    held_out = found.sides[-1]
    by = held_out.score if found.by_score else held_out.kl
    limit, interval = found.search.tolerate, held_out.arms[-1].loss_ci95
    return replace(
        found,
        carries_over=None if by is None else by.verdict,
        tolerated=None if limit is None else tolerated(interval, limit),
    )


def _kls(rows: Sequence[Asked]) -> list[float]:
    return [row.kl for row in rows if row.kl is not None]


def _scores(rows: Sequence[Asked]) -> list[float]:
    return [row.score for row in rows if row.score is not None]
