"""The golden reports, and how to write them anew: ``python -m tests.report.regenerate``.

Read the difference before keeping it: these files are what a user sees.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.report import factory, sweeps
from tests.report.eval_factory import evaluated
from tests.report.tune_factory import tuned
from v2drop_cli.commands.compare import compare_reports
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.judge.change_gates import parse_change_gates
from v2drop_cli.records import Report
from v2drop_cli.records.changes import Changes
from v2drop_cli.records.curves import Sweep
from v2drop_cli.records.evaluation import Evaluation
from v2drop_cli.records.tuning import Tuning
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.compare_view import build_changes_view
from v2drop_cli.report.eval_view import build_eval_view
from v2drop_cli.report.markdown import to_markdown
from v2drop_cli.report.sweep_view import build_sweep_view
from v2drop_cli.report.terminal import render
from v2drop_cli.report.tune_view import build_tune_view

GOLDEN = Path(__file__).parents[1] / "golden"


def console(
    width: int, *, terminal: bool, encoding: str = "utf-8", color: bool = False
) -> tuple[Console, io.BytesIO]:
    """A console on bytes, so that what cannot be encoded fails as it would on a real stream."""
    stream = io.BytesIO()
    found = Console(
        file=io.TextIOWrapper(stream, encoding=encoding, newline="\n", write_through=True),
        width=width,
        height=50,
        force_terminal=terminal,
        force_interactive=False,
        color_system="truecolor" if color else None,
        legacy_windows=False,
        _environ={},
    )
    return found, stream


def shown(report: Report, width: int, **options: object) -> str:
    """``report``, judged, as it appears on a console."""
    screen, stream = console(width, **options)  # type: ignore[arg-type]
    render(build_view(judged(report)), screen)
    return stream.getvalue().decode(screen.encoding)


def changes() -> Changes:
    """Two reports against each other."""
    before = replace(factory.profiled(), null_comparison=None)
    arms = (before.arms[0], replace(before.arms[1], timing=factory.timing(0.5)))
    environment = {**before.environment, "torch": "2.10.0"}
    after = replace(before, arms=arms, environment=environment)
    gates = parse_change_gates(["prefill:1%,kv_cache:0%"])
    return compare_reports(("before.json", before), ("after.json", after), 0.02, gates)


def compared(width: int, *, quiet: bool = False) -> str:
    """The same on a terminal."""
    screen, stream = console(width, terminal=True)
    render(build_changes_view(changes(), quiet=quiet), screen)
    return stream.getvalue().decode(screen.encoding)


def swept(found: Sweep, width: int) -> str:
    """A sweep on a terminal."""
    screen, stream = console(width, terminal=True)
    render(build_sweep_view(found), screen)
    return stream.getvalue().decode(screen.encoding)


def evaluation(found: Evaluation, width: int) -> str:
    """An evaluation on a terminal."""
    screen, stream = console(width, terminal=True)
    render(build_eval_view(found), screen)
    return stream.getvalue().decode(screen.encoding)


def tuning(found: Tuning, width: int) -> str:
    """A search on a terminal."""
    screen, stream = console(width, terminal=True)
    render(build_tune_view(found), screen)
    return stream.getvalue().decode(screen.encoding)


CASES: dict[str, Callable[[], str]] = {
    "report_wide": lambda: shown(factory.report(), 100, terminal=True),
    "report_narrow": lambda: shown(factory.report(), 40, terminal=True),
    "report_pipe": lambda: shown(factory.report(), 80, terminal=False),
    "report_ascii": lambda: shown(factory.report(), 100, terminal=True, encoding="ascii"),
    "report_dummy": lambda: shown(factory.dummy_report(), 100, terminal=True),
    "report_dummy_narrow": lambda: shown(factory.dummy_report(), 40, terminal=True),
    "report_dense_only": lambda: shown(factory.dense_only(), 100, terminal=True),
    "report_four_arms": lambda: shown(factory.four_arms(), 120, terminal=True),
    "report_four_arms_rows": lambda: shown(factory.four_arms(), 80, terminal=True),
    "report_four_arms_stacked": lambda: shown(factory.four_arms(), 60, terminal=True),
    "report_twelve_arms": lambda: shown(factory.twelve_arms(), 80, terminal=True),
    "report_rivals": lambda: shown(factory.rivals(), 80, terminal=True),
    "report_explained": lambda: shown(factory.explained(), 100, terminal=True),
    "report_quantised": lambda: shown(factory.quantised(), 100, terminal=True),
    "report_unclear": lambda: shown(factory.unclear(), 100, terminal=True),
    "report_missing": lambda: shown(factory.missing_values(), 100, terminal=True),
    "report_diverging": lambda: shown(factory.diverging(), 100, terminal=True),
    "report_profile": lambda: shown(factory.profiled(), 120, terminal=True),
    "report_profile_ascii": lambda: shown(factory.profiled(), 100, terminal=True, encoding="ascii"),
    "report_profile_narrow": lambda: shown(factory.profiled(), 60, terminal=True),
    "report_profile_md": lambda: to_markdown(build_view(judged(factory.profiled()))),
    "report_compare": lambda: compared(100),
    "report_compare_narrow": lambda: compared(50),
    "report_compare_quiet": lambda: compared(100, quiet=True),
    "report_compare_md": lambda: to_markdown(build_changes_view(changes())),
    "report_sweep": lambda: swept(sweeps.sweep(), 100),
    "report_sweep_narrow": lambda: swept(sweeps.sweep(), 50),
    "report_sweep_batch": lambda: swept(sweeps.batches(), 100),
    "report_sweep_md": lambda: to_markdown(build_sweep_view(sweeps.sweep())),
    "report_eval": lambda: evaluation(evaluated(fidelity=True), 100),
    "report_eval_narrow": lambda: evaluation(evaluated(), 50),
    "report_eval_md": lambda: to_markdown(build_eval_view(evaluated())),
    "report_tune": lambda: tuning(tuned(scored=True), 100),
    "report_tune_narrow": lambda: tuning(tuned(tolerate=0.02), 50),
    "report_tune_md": lambda: to_markdown(build_tune_view(tuned())),
    "report_hostile": lambda: shown(factory.hostile(), 100, terminal=True),
    "report_hostile_narrow": lambda: shown(factory.hostile(), 40, terminal=True),
}


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, case in CASES.items():
        (GOLDEN / f"{name}.txt").write_text(case(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
