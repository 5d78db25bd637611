"""``v2drop compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2drop_cli.cli.called import called
from v2drop_cli.cli.groups.gate_options import ChangeGateOptions
from v2drop_cli.cli.groups.measuring_options import JudgingOptions
from v2drop_cli.cli.groups.output_options import ComparedReports, CompareOutput
from v2drop_cli.cli.output import ResultFiles, print_json, settle, write
from v2drop_cli.cli.signature import command

if TYPE_CHECKING:
    from v2drop_cli.records.changes import Changes


@command
def compare(
    read: ComparedReports,
    gating: ChangeGateOptions,
    judging: JudgingOptions,
    output: CompareOutput,
) -> None:
    """Judge one report against another: faster, slower, same, unclear.

    \b
    v2drop compare before.json after.json
    v2drop compare before.json after.json --quiet --export-md changes.md
    v2drop compare before.json after.json --fail-if "prefill:5%,peak_memory:2%"
    """
    from v2drop_cli.commands.compare import compare_reports, refuse
    from v2drop_cli.records.reading import read_report
    from v2drop_cli.report.compare_view import summarised_changes

    gates, share = gating.gates(), judging.share()
    with output.files((read.a, read.b)).held() as files:
        first, second = ((str(path), read_report(path)) for path in (read.a, read.b))
        found = compare_reports(first, second, share, gates)
        if not judging.anyway:
            refuse(found.differences)
        found = summarised_changes(found)
        _tell(found, files, output)
        if files.html is not None:
            from v2drop_cli.report.html.compare_page import changes_to_html

            write(files.html, changes_to_html(found, (first[1], second[1]), called()))
    settle(found.gates, gating.strict)


def _tell(found: Changes, files: ResultFiles, output: CompareOutput) -> None:
    from v2drop_cli.report.compare_view import build_changes_view
    from v2drop_cli.report.markdown import to_markdown

    view = build_changes_view(found, quiet=output.quiet)
    if files.json is not None:
        write(files.json, found.dumps())
    if files.markdown is not None:
        write(files.markdown, to_markdown(view))
    if output.json:
        print_json(found.dumps())
        return
    from rich.console import Console

    from v2drop_cli.report.terminal import render

    render(view, Console())
