"""A report for other programs: Markdown of the same view, and every raw sample as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

from v2drop_cli.records import ArmResult, Report, Stats
from v2drop_cli.report.text import GLUE
from v2drop_cli.report.view import Fact, Section, View

NULL_ARM = "dense (null)"
_CSV_HEAD = ("arm", "method", "schedule", "stage", "round", "seconds")


def to_markdown(view: View) -> str:
    """Facts as a list, one table per section, footer as a list."""
    lines = ["# v2drop", "", *_facts(view.facts)]
    for section in view.sections:
        lines += ["", f"## {_inline(section.title) or 'Arms'}", ""]
        lines += _table(section, view.columns)
    if view.glance is not None:
        lines += ["", f"## {_inline(view.glance.title)}", ""]
        lines += _table(Section("", view.glance.rows), view.glance.columns)
    lines += ["", "## Notes", "", *_facts(view.footer)]
    return "\n".join(lines) + "\n"


def to_csv(report: Report) -> str:
    """One line per raw sample: arm, stage, round (from 0), seconds; the null arm included."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for arm in _arms(report):
        for field in dataclasses.fields(arm.timing):
            stats: Stats | None = getattr(arm.timing, field.name)
            for number, sample in enumerate(stats.samples if stats is not None else ()):
                names = (arm.label, arm.method or "", arm.schedule or "")
                writer.writerow((*names, field.name, number, repr(sample)))
    return stream.getvalue()


def _arms(report: Report) -> Iterator[ArmResult]:
    yield from report.arms
    if report.protocol is not None:
        timing = report.protocol.null_timing
        yield dataclasses.replace(report.arms[0], label=NULL_ARM, timing=timing)


def _facts(facts: Sequence[Fact]) -> list[str]:
    return [f"- **{_inline(fact.label or '…')}** {_inline(fact.text)}" for fact in facts]


def _table(section: Section, columns: Sequence[str]) -> list[str]:
    rows = [("", *columns), ("---",) * (len(columns) + 1)]
    rows += [(row.label, *(cell.text for cell in row.cells)) for row in section.rows]
    return ["| " + " | ".join(_inline(text) for text in row) + " |" for row in rows]


def _inline(text: str) -> str:
    """One line that Markdown shows as it is: answers and file names may hold its signs."""
    flat = " ".join(text.replace(GLUE, " ").split())
    return "".join(f"\\{char}" if char in r"\`*_[]<>|#" else char for char in flat)
