"""What a person waits for, from the files to the last token, beside what is judged."""

from __future__ import annotations

import statistics
from dataclasses import replace

from v2drop_cli.records import Report, Stats
from v2drop_cli.records.metrics import metric
from v2drop_cli.report.claims import SPEEDUPS
from v2drop_cli.report.text import glued
from v2drop_cli.report.view import Cell, Glance
from v2drop_cli.units import NOT_AVAILABLE, format_ratio, format_seconds

NAME = "end_to_end"


def with_end_to_end(glance: Glance, report: Report) -> Glance:
    """``glance`` with one more column behind the speed-ups; as it is where nothing was timed."""
    found = [metric(NAME).samples(arm) for arm in report.arms]
    if not any(found):
        return glance
    label = report.comparisons[0].reference if report.comparisons else report.arms[0].label
    [reference] = [
        stats for arm, stats in zip(report.arms, found, strict=True) if arm.label == label
    ]
    at = len(SPEEDUPS)
    rows = (
        replace(row, cells=(*row.cells[:at], _cell(stats, reference), *row.cells[at:]))
        for row, stats in zip(glance.rows, found, strict=True)
    )
    return replace(
        glance,
        columns=(*glance.columns[:at], metric(NAME).label, *glance.columns[at:]),
        about=(*glance.about[:at], NAME, *glance.about[at:]),
        rows=tuple(rows),
    )


def _cell(stats: Stats | None, reference: Stats | None) -> Cell:
    """Its ratio to the reference, formed round by round as the others are, and the time."""
    if stats is None:
        return Cell(NOT_AVAILABLE, "muted")
    time = glued(format_seconds(stats.median))
    if stats is reference:
        return Cell(time, value=1.0)
    if reference is None or len(reference.samples) != len(stats.samples):
        return Cell(time)
    pairs = zip(reference.samples, stats.samples, strict=True)
    ratio = statistics.median(theirs / ours for theirs, ours in pairs)
    return Cell(f"{format_ratio(ratio)} ({time})", value=ratio)
