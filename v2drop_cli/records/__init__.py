"""What a measurement produced: frozen, torch-free, and the same shape as the JSON documents."""

from __future__ import annotations

from v2drop_cli.records.arm import (
    DENSE,
    FEWEST_FOR_INTERVAL,
    LAUNCH_BOUND_BELOW,
    Answer,
    ArmResult,
    Comparison,
    Drop,
    Limit,
    Memory,
    Overhead,
    Ratio,
    Stats,
    Timing,
)
from v2drop_cli.records.caveats import Caveat, CaveatKind
from v2drop_cli.records.grid import Grid, Span
from v2drop_cli.records.report import (
    COMPILED,
    EAGER,
    INTERRUPTED,
    RUNNING,
    SCHEMA,
    MachineState,
    MediaRecord,
    Protocol,
    Report,
    Request,
)
from v2drop_cli.records.verdicts import Verdict

__all__ = [
    "COMPILED",
    "DENSE",
    "EAGER",
    "FEWEST_FOR_INTERVAL",
    "INTERRUPTED",
    "LAUNCH_BOUND_BELOW",
    "RUNNING",
    "SCHEMA",
    "Answer",
    "ArmResult",
    "Caveat",
    "CaveatKind",
    "Comparison",
    "Drop",
    "Grid",
    "Limit",
    "MachineState",
    "MediaRecord",
    "Memory",
    "Overhead",
    "Protocol",
    "Ratio",
    "Report",
    "Request",
    "Span",
    "Stats",
    "Timing",
    "Verdict",
]
