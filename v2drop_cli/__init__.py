"""Time and memory profiling of vision-language models with and without vision token dropping.

import v2drop_cli as v2drop
with v2drop.dropping(model, "3:0.5,17:0.3,22:0") as trace:
    output = model.generate(**inputs)

All that this package promises to a program is in ``__all__``; ``docs/library.md`` shows it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from v2drop_cli.version import __version__

if TYPE_CHECKING:
    from v2drop_cli.errors import (
        DeviceError,
        DeviceMemoryError,
        GateError,
        InstrumentError,
        InvalidMeasurementError,
        MediaArgumentError,
        MediaError,
        MissingPackageError,
        ModelError,
        OutputPathError,
        PlugInError,
        ScheduleError,
        UndecidedError,
        UnknownNameError,
        UnsupportedModelError,
        UsageError,
        V2DropError,
    )
    from v2drop_cli.instrument.dropping import dropping
    from v2drop_cli.instrument.trace import DropTrace
    from v2drop_cli.library import profile
    from v2drop_cli.media import Media, load_image, load_video
    from v2drop_cli.methods.base import Method
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading import load
    from v2drop_cli.records import Report
    from v2drop_cli.schedule import Drop, DropPlan, Schedule, solve_budget

__all__ = [
    "DeviceError",
    "DeviceMemoryError",
    "Drop",
    "DropPlan",
    "DropTrace",
    "GateError",
    "InstrumentError",
    "InvalidMeasurementError",
    "LoadedModel",
    "Media",
    "MediaArgumentError",
    "MediaError",
    "Method",
    "MissingPackageError",
    "ModelError",
    "OutputPathError",
    "PlugInError",
    "Report",
    "Schedule",
    "ScheduleError",
    "UndecidedError",
    "UnknownNameError",
    "UnsupportedModelError",
    "UsageError",
    "V2DropError",
    "__version__",
    "dropping",
    "load",
    "load_image",
    "load_video",
    "profile",
    "solve_budget",
]

# Where each name is imported from on first use: importing this package must not import torch.
_HOMES = {
    "Drop": "v2drop_cli.schedule",
    "DropPlan": "v2drop_cli.schedule",
    "DropTrace": "v2drop_cli.instrument.trace",
    "LoadedModel": "v2drop_cli.models.base",
    "Media": "v2drop_cli.media",
    "Method": "v2drop_cli.methods.base",
    "Report": "v2drop_cli.records",
    "Schedule": "v2drop_cli.schedule",
    "dropping": "v2drop_cli.instrument.dropping",
    "load": "v2drop_cli.models.loading",
    "load_image": "v2drop_cli.media",
    "load_video": "v2drop_cli.media",
    "profile": "v2drop_cli.library",
    "solve_budget": "v2drop_cli.schedule",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "v2drop_cli.errors")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
