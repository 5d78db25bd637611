"""How long to measure, and of what kind of work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import MEASURING, Looks, again, option
from v2drop_cli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from v2drop_cli.bench.stopping import StopRule


@dataclass(frozen=True, slots=True)
class SeedOption:
    """What every command that drops tokens takes."""

    seed: int = option(
        0,
        Looks(
            "--seed",
            "For random selection, dummy weights, order.",
            MEASURING,
            "N",
            within=(0, 2**32 - 1),
        ),
    )


@dataclass(frozen=True, slots=True)
class AnswerOptions(SeedOption):
    """What every command that answers a prompt takes."""

    max_new_tokens: int = option(
        64, Looks("--max-new-tokens", "Longest answer.", MEASURING, "N", within=(1, None))
    )


@dataclass(frozen=True, slots=True)
class RunMeasuring(AnswerOptions):
    """``run`` takes a fixed number of rounds."""

    repeats: int = option(5, Looks("--repeats", "Timed rounds.", MEASURING, "N", within=(1, None)))
    warmup: int = option(
        1, Looks("--warmup", "Untimed rounds before them.", MEASURING, "N", within=(0, None))
    )


@dataclass(frozen=True, slots=True)
class ProfileMeasuring(AnswerOptions):
    """``profile`` goes on until the numbers hold."""

    new_tokens: int = option(
        16,
        Looks(
            "--new-tokens",
            "Tokens of each timed generation, always all of them.",
            MEASURING,
            "N",
            within=(1, None),
        ),
    )
    batch_size: int = option(
        1, Looks("--batch-size", "Rows of the same prompt.", MEASURING, "N", within=(1, None))
    )
    decode: str = option(
        "eager",
        Looks(
            "--decode",
            "eager, or compiled: without launches (CUDA graphs over fixed KV caches).",
            MEASURING,
            "WAY",
        ),
    )
    explain: bool = option(
        False,
        Looks(
            "--explain",
            "Also tell how tokens moved before each drop of v2drop (a pass of its own).",
            MEASURING,
        ),
    )
    repeats: int | None = again(
        RunMeasuring,
        "repeats",
        default=None,
        help="Timed rounds to take at least, whatever the time [default: 5; 10 if time allows].",
    )
    warmup: int = again(RunMeasuring, "warmup", default=2)
    precision: str = option(
        "1%",
        Looks(
            "--precision",
            "Stop once every prefill ratio is known to +/- this share.",
            MEASURING,
            "SHARE",
        ),
    )
    max_time: float = option(
        60.0,
        Looks(
            "--max-time",
            "Or stop once this time is over (0: at once), but not before 5 rounds, or --repeats N.",
            MEASURING,
            "SECONDS",
            within=(0, None),
        ),
    )

    def check(self, tp_plan: str | None = None) -> None:
        """Refuse what means nothing, before anything heavy is imported.

        Args:
            tp_plan: how the model is split among processes, if it is.

        Raises:
            UsageError: a precision that is no share, a time without end, a way of decoding that
                there is not.
        """
        from v2drop_cli.records import COMPILED, EAGER

        if not math.isfinite(self.max_time):
            raise UsageError(f"--max-time {self.max_time} is no time", hint="seconds, e.g. 600")
        parse_share("--precision", self.precision)
        if self.decode not in (EAGER, COMPILED):
            raise unknown_name("way to decode", self.decode, (EAGER, COMPILED))
        if tp_plan is not None and self.decode == COMPILED:
            raise UsageError(
                "--decode compiled with --tp-plan: a graph cannot wait for other processes",
                hint="leave --decode out",
            )

    def stop_rule(self) -> StopRule:
        """When to stop; see :meth:`check`."""
        from v2drop_cli.bench.stopping import StopRule

        return StopRule(self.repeats, parse_share("--precision", self.precision), self.max_time)


def parse_share(flag: str, text: str) -> float:
    """``1%`` or ``0.01`` → 0.01, for the option of that name.

    Raises:
        UsageError: not between 0 and 1.
    """
    percent = text.endswith("%")
    try:
        value = float(text[:-1] if percent else text) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"{flag} {text!r} is no share", hint="for example 1% or 0.01")
    return value


@dataclass(frozen=True, slots=True)
class JudgingOptions:
    """How ``compare`` judges."""

    margin: str = option(
        "2%", Looks("--margin", "Medians that differ by less are the same.", MEASURING, "SHARE")
    )
    anyway: bool = option(
        False,
        Looks("--anyway", "Compare also what is not comparable, with a warning.", MEASURING),
    )

    def share(self) -> float:
        """The margin as a number.

        Raises:
            UsageError: not between 0 and 1.
        """
        return parse_share("--margin", self.margin)


@dataclass(frozen=True, slots=True)
class ProvingOptions:
    """Whether ``doctor`` proves what it says."""

    prove: bool = option(
        False,
        Looks(
            "--prove",
            "Drop in tiny models here and compare with the masked oracle. By default in "
            "float32 and bfloat16, with eager, sdpa and the flash kernels that are installed.",
            MEASURING,
        ),
    )
