"""``v2drop compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2drop_cli.cli import options as o
from v2drop_cli.cli import profile_options as p
from v2drop_cli.cli.common import check_strict, settle
from v2drop_cli.cli.guard import guarded

if TYPE_CHECKING:
    from v2drop_cli.records.changes import Changes

ReportA = Annotated[Path, typer.Argument(metavar="A.json", help="The report to compare with.")]
ReportB = Annotated[Path, typer.Argument(metavar="B.json", help="The report to judge.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="GATES",
        help='Leave with 3 if B is so much worse, e.g. "prefill:5%,peak_memory:2%"; repeatable.',
        rich_help_panel=o.OUTPUT,
    ),
]
Margin = Annotated[
    str,
    typer.Option(
        "--margin",
        metavar="SHARE",
        help="Medians that differ by less are the same.",
        rich_help_panel=o.MEASURING,
    ),
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Compare also what is not comparable, with a warning.",
        rich_help_panel=o.MEASURING,
    ),
]


@guarded
def compare(
    a: ReportA,
    b: ReportB,
    fail_if: FailIf = None,
    strict: p.Strict = False,
    margin: Margin = "2%",
    anyway: Anyway = False,
    json: o.Json = False,
    output: o.Output = None,
    export_md: p.ExportMd = None,
    debug: o.Debug = False,
) -> None:
    """Judge one report against another: faster, slower, same, unclear.

    \b
    v2drop compare before.json after.json
    v2drop compare before.json after.json --fail-if "prefill:5%,peak_memory:2%"
    """
    from v2drop_cli.commands.compare import compare_reports, refuse
    from v2drop_cli.judge.change_gates import parse_change_gates
    from v2drop_cli.records.reading import read_report

    gates, share = parse_change_gates(fail_if or ()), p.parse_share("--margin", margin)
    check_strict(strict, gates)
    files = p.ResultFiles.checked(output, export_md, None, (a, b))
    reports = [(str(path), read_report(path)) for path in (a, b)]
    found = compare_reports(reports[0], reports[1], share, gates)
    if not anyway:
        refuse(found.differences)
    _tell(found, files, json)
    settle(found.gates, strict)


def _tell(found: Changes, files: p.ResultFiles, as_json: bool) -> None:
    from v2drop_cli.report.compare_view import build_changes_view
    from v2drop_cli.report.markdown import to_markdown

    view = build_changes_view(found)
    if files.json is not None:
        files.json.write(found.dumps())
    if files.markdown is not None:
        files.markdown.write(to_markdown(view))
    if as_json:
        from v2drop_cli.report.text import encodable_json

        sys.stdout.write(encodable_json(found.dumps(), sys.stdout.encoding) + "\n")
        return
    from rich.console import Console

    from v2drop_cli.report.terminal import render

    render(view, Console())
