"""What a learned method is fitted on, for how long, and where the weights go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import MEASURING, OUTPUT, Looks, argument, option

if TYPE_CHECKING:
    from v2drop_cli.training.distillation import Plan


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The examples."""

    data: Path = argument("DATA", 'JSONL: one {"image": FILE, "question": TEXT} a line.')


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to fit."""

    keep: str = option(
        "10%", Looks("--keep", "Share of the vision tokens that the mixtures are.", MEASURING, "K")
    )
    steps: int = option(
        1000, Looks("--steps", "Examples seen, one a step.", MEASURING, "N", within=(1, None))
    )
    channels: int = option(
        64, Looks("--channels", "Width of the mixture.", MEASURING, "N", within=(1, None))
    )
    rate: float = option(
        1e-3, Looks("--rate", "Learning rate.", MEASURING, "RATE", within=(0, None))
    )
    answer_tokens: int = option(
        16,
        Looks("--answer-tokens", "Of each dense answer.", MEASURING, "N", within=(1, None)),
    )
    seed: int = option(
        0, Looks("--seed", "Of the first weights, and of the order of examples.", MEASURING, "N")
    )

    def plan(self) -> Plan:
        """The same as training takes it.

        Raises:
            ScheduleError: the share means nothing.
        """
        from v2drop_cli.schedule import parse_share
        from v2drop_cli.training.distillation import Plan

        return Plan(
            keep=parse_share(self.keep),
            steps=self.steps,
            channels=self.channels,
            rate=self.rate,
            answer_tokens=self.answer_tokens,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class TrainingOutput:
    """Where the weights go."""

    output: Path = option(
        Path("metacompress.safetensors"),
        Looks("--output", "The weights; FILE.state while fitting.", OUTPUT, "FILE"),
    )
