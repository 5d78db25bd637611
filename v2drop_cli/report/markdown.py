"""A view, or plain tables, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from v2drop_cli.report.text import GLUE, told
from v2drop_cli.report.view import Fact, Section, View

MOST_COLUMNS = 4
"""Of more arms than that each is a line of the tables, where quantities are the columns."""


def to_markdown(view: View) -> str:
    """The finding, what it is of, the glance, one table per section, and how it was measured."""
    lines = ["# v2drop"]
    if view.finding is not None:
        lines += ["", f"**{_inline(view.finding.text)}**"]
    if view.facts:
        lines += ["", *_facts(view.facts)]
    if view.glance is not None:
        lines += ["", f"## {_inline(view.glance.title)}", ""]
        lines += _table(Section("", view.glance.rows), view.glance.columns)
    if view.notes:
        lines += ["", *_facts(view.notes)]
    for section in view.sections:
        lines += ["", f"## {_inline(section.title) or 'Arms'}", ""]
        many = len(view.columns) > MOST_COLUMNS
        lines += (_turned if many else _table)(section, view.columns)
    if view.footer:
        lines += ["", "## Notes", "", *_facts(view.footer)]
    return "\n".join(lines) + "\n"


def tables_to_markdown(title: str, tables: Mapping[str, Sequence[Mapping[str, object]]]) -> str:
    """Tables of what is no report: a heading for each, and its rows by the names of the first.

    A column in which no row says anything is left out.
    """
    lines = [f"# {_inline(title)}"]
    for heading, rows in tables.items():
        if not rows:
            continue
        columns = [name for name in rows[0] if any(row.get(name) is not None for row in rows)]
        cells = [[told(row.get(name)) for name in columns] for row in rows]
        lines += ["", f"## {_inline(heading)}", "", *_lines([columns, *cells])]
    return "\n".join(lines) + "\n"


def _facts(facts: Sequence[Fact]) -> list[str]:
    return [f"- **{_inline(fact.label or '…')}** {_inline(fact.text)}" for fact in facts]


def _table(section: Section, columns: Sequence[str]) -> list[str]:
    rows = [[row.label, *(cell.text for cell in row.cells)] for row in section.rows]
    return _lines([["", *columns], *rows])


def _turned(section: Section, columns: Sequence[str]) -> list[str]:
    """The same with a line per arm."""
    lines = [
        [name, *(row.cells[at].in_a_row for row in section.rows)] for at, name in enumerate(columns)
    ]
    return _lines([["", *(row.label for row in section.rows)], *lines])


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; the first row is its head."""
    head, *rest = ["| " + " | ".join(map(_inline, row)) + " |" for row in rows]
    return [head, f"| {' | '.join(['---'] * len(rows[0]))} |", *rest]


def _inline(text: str) -> str:
    """One line that Markdown shows as it is: answers and file names may hold its signs."""
    flat = " ".join(text.replace(GLUE, " ").split())
    return "".join(f"\\{char}" if char in r"\`*_[]<>|#~" else char for char in flat)
