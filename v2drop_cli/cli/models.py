"""``v2drop models``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from v2drop_cli.cli.groups.model_options import CatalogueOptions
from v2drop_cli.cli.groups.output_options import CommonOutput
from v2drop_cli.cli.output import write
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from v2drop_cli.commands.models import Catalogue

SCHEMA = "v2drop.models/1"


@command
def models(asked: CatalogueOptions, output: CommonOutput) -> None:
    """List families with the aliases of their models; with NAME, everything of one.

    \b
    v2drop models
    v2drop models qwen2-vl-7b
    v2drop models --refused
    v2drop models --json
    """
    from v2drop_cli.commands.models import catalogue, entry, refusals

    if asked.name is not None and asked.refused:
        raise UsageError("--refused lists all that is refused", hint="leave out the name")
    name = asked.name
    found = refusals() if asked.refused else catalogue() if name is None else entry(name)
    with output.files().held() as files:
        if files.markdown is not None:
            write(files.markdown, _page(found))
    if output.json:
        from json import dumps

        document = {"schema": SCHEMA, **with_spaced_keys(found)}
        sys.stdout.write(dumps(document, indent=2) + "\n")
        return
    from rich.console import Console

    console = Console()
    if name is None and not asked.refused:
        _show_overview(console)
    else:
        _show_sections(found, console)


def _page(found: Catalogue) -> str:
    """Every section as Markdown."""
    from v2drop_cli.report.markdown import tables_to_markdown

    named = {_words(title).capitalize(): _with_words(rows) for title, rows in found.items()}
    return tables_to_markdown("v2drop", named)


def with_spaced_keys(found: Catalogue) -> Catalogue:
    """The catalogue with each key that has an underscore twice: as it was before the schema, too.

    >>> with_spaced_keys({"refused": [{"model_type": "fuyu"}]})
    {'refused': [{'model_type': 'fuyu', 'model type': 'fuyu'}]}
    """
    doubled: Catalogue = {}
    for title, rows in found.items():
        both = [
            {spelt: value for key, value in row.items() for spelt in (key, _words(key))}
            for row in rows
        ]
        doubled[title] = doubled[_words(title)] = both
    return doubled


def _with_words(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    return [{_words(key): value for key, value in row.items()} for row in rows]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _show_overview(console: Console) -> None:
    """One screen: what ``--model`` takes, and where to read on."""
    from v2drop_cli.commands.models import overview
    from v2drop_cli.methods.registry import known_methods
    from v2drop_cli.report.listing import render_notes
    from v2drop_cli.schedule import PRESETS

    title = "Families (aliases); models NAME says all of one, --refused what is not served"
    notes = {**overview(), "methods": list(known_methods()), "presets": list(PRESETS)}
    render_notes(title, {name: ", ".join(words) for name, words in notes.items()}, console)


def _show_sections(found: Catalogue, console: Console) -> None:
    """Every section that has rows; one row is told line by line."""
    from v2drop_cli.report.listing import render_card, render_table

    first = True
    for title, rows in found.items():
        if not rows:
            continue
        if not first:
            console.print()
        first = False
        told = _with_words(rows)
        if len(told) == 1:
            render_card(_words(title).capitalize(), told[0], console)
        else:
            render_table(_words(title).capitalize(), list(told[0]), told, console)
