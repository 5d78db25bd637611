"""``v2drop models``."""

from __future__ import annotations

import sys

from v2drop_cli.cli.groups.output_options import JsonOutput
from v2drop_cli.cli.signature import command


@command
def models(output: JsonOutput) -> None:
    """List models, families, methods, presets and refusals.

    \b
    v2drop models
    v2drop models --json
    """
    from v2drop_cli.commands.models import catalogue

    found = catalogue()
    if output.json:
        from json import dumps

        sys.stdout.write(dumps(found, indent=2) + "\n")
        return
    from rich.console import Console

    from v2drop_cli.report.listing import render_table

    console = Console()
    for number, (title, rows) in enumerate(found.items()):
        if number:
            console.print()
        render_table(title.capitalize(), list(rows[0]), rows, console)
