"""A view as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.report.text import GLUE
from v2drop_cli.report.view import Fact, Section, View


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
    for section in view.sections:
        lines += ["", f"## {_inline(section.title) or 'Arms'}", ""]
        lines += _table(section, view.columns)
    if view.footer:
        lines += ["", "## Notes", "", *_facts(view.footer)]
    return "\n".join(lines) + "\n"


def _facts(facts: Sequence[Fact]) -> list[str]:
    return [f"- **{_inline(fact.label or '…')}** {_inline(fact.text)}" for fact in facts]


def _table(section: Section, columns: Sequence[str]) -> list[str]:
    rows = [("", *columns), ("---",) * (len(columns) + 1)]
    rows += [(row.label, *(cell.text for cell in row.cells)) for row in section.rows]
    return ["| " + " | ".join(_inline(text) for text in row) + " |" for row in rows]


def _inline(text: str) -> str:
    """One line that Markdown shows as it is: answers and file names may hold its signs."""
    flat = " ".join(text.replace(GLUE, " ").split())
    return "".join(f"\\{char}" if char in r"\`*_[]<>|#~" else char for char in flat)
