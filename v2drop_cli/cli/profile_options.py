"""Options of ``v2drop profile`` alone, and the files it writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2drop_cli.cli.common import Drafts, check_strict
from v2drop_cli.cli.options import DROPPING, MEASURING, OUTPUT
from v2drop_cli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from v2drop_cli.judge.value_gates import Gate
    from v2drop_cli.records import Report
    from v2drop_cli.report.result_file import ResultFile

NoRandom = Annotated[
    bool,
    typer.Option(
        "--no-random",
        help="Leave out the random-selection arm (and the scoring overhead).",
        rich_help_panel=DROPPING,
    ),
]
NewTokens = Annotated[
    int,
    typer.Option(
        "--new-tokens",
        metavar="N",
        min=1,
        help="Tokens of each timed generation, always all of them.",
        rich_help_panel=MEASURING,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="Rows of the same prompt.",
        rich_help_panel=MEASURING,
    ),
]
LeastRepeats = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        metavar="N",
        min=1,
        help="Timed rounds to take at least, whatever the time [default: 10, if time allows].",
        rich_help_panel=MEASURING,
    ),
]
Decode = Annotated[
    str,
    typer.Option(
        "--decode",
        metavar="WAY",
        help="eager, or compiled: without launches (CUDA graphs over fixed KV caches).",
        rich_help_panel=MEASURING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="SHARE",
        help="Stop once every prefill ratio is known to +/- this share.",
        rich_help_panel=MEASURING,
    ),
]
MaxTime = Annotated[
    float,
    typer.Option(
        "--max-time",
        metavar="SECONDS",
        min=0,
        help="Or stop once this time is over; with --repeats N, not before N rounds.",
        rich_help_panel=MEASURING,
    ),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="GATE",
        help='Leave with 3 if so, e.g. "prefill_speedup<1.2"; repeatable.',
        rich_help_panel=OUTPUT,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Leave with 5 if a gate is undecided: measured too roughly to say.",
        rich_help_panel=OUTPUT,
    ),
]
ExportMd = Annotated[
    Path | None,
    typer.Option(
        "--export-md", metavar="FILE", help="Write a Markdown report.", rich_help_panel=OUTPUT
    ),
]
ExportCsv = Annotated[
    Path | None,
    typer.Option(
        "--export-csv", metavar="FILE", help="Write every raw sample.", rich_help_panel=OUTPUT
    ),
]


def parse_precision(text: str, max_time: float) -> float:
    """``1%`` or ``0.01`` → 0.01, to be reached within ``max_time`` seconds.

    Raises:
        UsageError: not between 0 and 1, or a time without end.
    """
    if not math.isfinite(max_time):
        raise UsageError(f"--max-time {max_time} is no time", hint="seconds, e.g. 600")
    return parse_share("--precision", text)


def parse_share(option: str, text: str) -> float:
    """``1%`` or ``0.01`` → 0.01, for any option.

    Raises:
        UsageError: not between 0 and 1.
    """
    percent = text.endswith("%")
    try:
        value = float(text[:-1] if percent else text) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"{option} {text!r} is no share", hint="for example 1% or 0.01")
    return value


def parse_decode(text: str) -> str:
    """``eager`` or ``compiled``.

    Raises:
        UnknownNameError: anything else.
    """
    from v2drop_cli.records import COMPILED, EAGER

    if text not in (EAGER, COMPILED):
        raise unknown_name("way to decode", text, (EAGER, COMPILED))
    return text


def parse_gates_of(fail_if: list[str] | None, strict: bool) -> tuple[Gate, ...]:
    """The gates of ``--fail-if``; ``--strict`` needs one.

    Raises:
        UsageError: no gate, or one that means nothing.
    """
    from v2drop_cli.judge.value_gates import parse_gates

    gates = parse_gates(fail_if or ())
    check_strict(strict, gates)
    return gates


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where a profile goes beside stdout; each is known to be writable."""

    json: ResultFile | None
    markdown: ResultFile | None
    csv: ResultFile | None

    @classmethod
    def checked(
        cls,
        json: Path | None,
        markdown: Path | None,
        csv: Path | None,
        read: Sequence[Path | None] = (),
    ) -> ResultFiles:
        """Refuse paths that cannot be written, before anything is measured.

        ``read`` are files that the command reads: they are never written over.
        """
        from v2drop_cli.report.result_file import ResultFile

        taken = {path.resolve() for path in read if path is not None}
        for path in (json, markdown, csv):
            if path is not None and path.resolve() in taken:
                raise UsageError(f"{path} is read, or written to, twice", hint="name another file")
            taken |= {path.resolve()} if path is not None else set()
        return cls(*(None if path is None else ResultFile(path) for path in (json, markdown, csv)))

    @property
    def on_round(self) -> Callable[[Report], None] | None:
        """What to do with the report so far, if anything; see :class:`Drafts`."""
        return None if self.json is None else Drafts(self.json)

    def finish(self, report: Report) -> None:
        """Write the final report in every form asked for."""
        from v2drop_cli.report.bench_view import build_view
        from v2drop_cli.report.csv import to_csv
        from v2drop_cli.report.markdown import to_markdown

        if self.json is not None:
            self.json.write(report.dumps())
        if self.markdown is not None:
            self.markdown.write(to_markdown(build_view(report)))
        if self.csv is not None:
            self.csv.write(to_csv(report))
