"""Every raw sample of a report as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator

from v2drop_cli.records import ArmResult, Report
from v2drop_cli.records.metrics import METRICS

NULL_ARM = "dense (null)"
_HEAD = ("arm", "method", "schedule", "stage", "round", "seconds")


def to_csv(report: Report) -> str:
    """One line per raw sample: arm, stage, round (from 0), seconds; the null arm included."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEAD)
    for arm in _arms(report):
        for row in METRICS:
            stats = row.samples(arm)
            for number, sample in enumerate(stats.samples if stats is not None else ()):
                names = (arm.label, arm.method or "", arm.schedule or "")
                writer.writerow((*names, row.field, number, repr(sample)))
    return stream.getvalue()


def _arms(report: Report) -> Iterator[ArmResult]:
    yield from report.arms
    if report.protocol is not None:
        timing = report.protocol.null_timing
        yield dataclasses.replace(report.arms[0], label=NULL_ARM, timing=timing)
