"""Time and memory profiling of vision-language models with and without vision token dropping.

import v2drop_cli as v2drop
with v2drop.dropping(model, "3:0.5,17:0.3,22:0") as trace:
    output = model.generate(**inputs)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from v2drop_cli.version import __version__

if TYPE_CHECKING:
    from v2drop_cli.commands.profile import profile
    from v2drop_cli.instrument.dropping import dropping
    from v2drop_cli.models.loading import load
    from v2drop_cli.schedule import Drop, DropPlan, Schedule, solve_budget

# Imported on first use: importing this package must not import torch.
_HOMES = {
    "Drop": "v2drop_cli.schedule",
    "DropPlan": "v2drop_cli.schedule",
    "Schedule": "v2drop_cli.schedule",
    "dropping": "v2drop_cli.instrument.dropping",
    "load": "v2drop_cli.models.loading",
    "profile": "v2drop_cli.commands.profile",
    "solve_budget": "v2drop_cli.schedule",
}

__all__ = [
    "Drop",
    "DropPlan",
    "Schedule",
    "__version__",
    "dropping",
    "load",
    "profile",
    "solve_budget",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
