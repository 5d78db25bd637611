"""What to drop: where, how much, and by which method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import DROPPING, Looks, option

if TYPE_CHECKING:
    from v2drop_cli.bench.arms import ArmOptions


@dataclass(frozen=True, slots=True)
class DroppingOptions:
    """Schedules and methods; each pair of them is an arm beside the dense one."""

    schedule: tuple[str, ...] = option(
        (),
        Looks(
            "--schedule",
            "LAYER:KEEP[,LAYER:KEEP...], e.g. 3:0.5,17:30%,22:1t, or @FILE; repeat to compare.",
            DROPPING,
            "SCHEDULE",
        ),
    )
    layers: str | None = option(
        None, Looks("--layers", "Where to drop, e.g. 3,17.", DROPPING, "LAYERS")
    )
    ratios: tuple[str, ...] = option(
        (),
        Looks(
            "--ratios",
            "Share kept at each layer, of the tokens still alive, e.g. 0.5,0.25; repeatable.",
            DROPPING,
            "RATIOS",
        ),
    )
    preset: tuple[str, ...] = option(
        (), Looks("--preset", "A named schedule; repeatable.", DROPPING, "NAME")
    )
    budget: tuple[str, ...] = option(
        (),
        Looks(
            "--budget",
            "Layer-average vision tokens, e.g. 192 or 33%, met by each method's own knobs; "
            "repeatable.",
            DROPPING,
            "TOKENS",
        ),
    )
    method: tuple[str, ...] = option(
        (),
        Looks(
            "--method",
            "Method, NAME or NAME:KEY=VALUE,…; ONE+OTHER composes two; all is every method that "
            "can run here; repeat to compare [default: v2drop].",
            DROPPING,
            "NAME",
        ),
    )

    def arms(self, seed: int) -> ArmOptions:
        """The arms asked for, checked as far as can be without a model.

        Raises:
            UsageError: a schedule that cannot be read, or a name that nothing has.
        """
        from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions

        schedules = ScheduleOptions(
            self.schedule, self.layers, self.ratios, self.preset, self.budget
        )
        arms = ArmOptions(schedules, methods=self.method or ("v2drop",), seed=seed)
        arms.check()
        return arms


@dataclass(frozen=True, slots=True)
class ProfileDropping(DroppingOptions):
    """``profile`` measures random selection too, unless told not to."""

    no_random: bool = option(
        False,
        Looks(
            "--no-random",
            "Leave out the random-selection arm (and the scoring overhead).",
            DROPPING,
        ),
    )
