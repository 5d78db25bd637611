"""Every error v2drop raises on purpose, one tree:

    V2DropError                    exit 1
    ├── UsageError                 exit 2   what was asked cannot be asked
    │   ├── ScheduleError                   a schedule, ratio, layer or budget
    │   ├── UnknownNameError                a model, method, preset … (with the nearest names)
    │   ├── MediaArgumentError              no such file, a directory, --image with --video
    │   └── OutputPathError                 the result file could not be written
    ├── MediaError                 exit 1   the file is there, its content is not usable
    ├── ModelError                 exit 1   a checkpoint or family that cannot be loaded or served
    │   ├── UnsupportedModelError           refused by name, with the reason
    │   └── MissingPackageError             it needs a package that is not here, or is broken
    ├── DeviceError                exit 1   no such device, or not enough memory on it
    │   └── DeviceMemoryError
    ├── InstrumentError            exit 1   the model was called in a way dropping cannot serve
    ├── PlugInError                exit 1   another package's method that cannot be used
    ├── GateError                  exit 3   a --fail-if gate failed
    ├── InvalidMeasurementError    exit 4   the machine was slowed down in too many rounds
    └── UndecidedError             exit 5   not measured, or with --strict not well enough to say

``message`` says what is wrong in one line; ``hint`` says what to do about it. The command
line prints both on stderr and leaves with ``exit_code``; library users catch the class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class V2DropError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: one line, what is wrong, with the offending value in it.
        hint: one line, the way forward, or ``None`` where there is none to give.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(V2DropError):
    """What was asked for cannot be asked for."""

    exit_code = 2


class ScheduleError(UsageError):
    """A schedule, ratio, layer or token budget that means nothing for this model."""


class UnknownNameError(UsageError):
    """A name that no registry knows. See :func:`unknown_name`."""


class MediaArgumentError(UsageError):
    """The media options name nothing that can be opened."""


class OutputPathError(UsageError):
    """A result file that cannot be written; raised before any work is done."""


class MediaError(V2DropError):
    """A file that exists but is no usable image or video."""


class ModelError(V2DropError):
    """A checkpoint that cannot be found or loaded."""


class UnsupportedModelError(ModelError):
    """A model this version refuses by name, because it would be served wrongly."""


class MissingPackageError(ModelError):
    """A package that this model needs is not installed, or does not import."""


class DeviceError(V2DropError):
    """The asked-for device is not there."""


class DeviceMemoryError(DeviceError):
    """The device ran out of memory, or is known to be too small beforehand."""


class InstrumentError(V2DropError):
    """The model was called in a way that dropping cannot serve correctly."""


class PlugInError(V2DropError):
    """A method that another package brings, and that cannot be used as it is."""


class GateError(V2DropError):
    """A regression gate did not hold."""

    exit_code = 3


class InvalidMeasurementError(V2DropError):
    """The machine was slowed down in too many rounds: the report is there, but not to be used."""

    exit_code = 4


class UndecidedError(V2DropError):
    """A gate that was to be decided is not.

    Nothing was measured for it; or, with ``--strict``, the numbers show neither outcome.
    """

    exit_code = 5


def without_docstrings() -> UsageError:
    """For an interpreter that leaves docstrings out: transformers builds classes from its own."""
    return UsageError(
        "python -OO (PYTHONOPTIMIZE=2) removes the docstrings that transformers needs",
        hint="unset PYTHONOPTIMIZE, or start python without -OO",
    )


def unknown_name(
    kind: str, name: str, known: Iterable[str], listed_by: str | None = None
) -> UnknownNameError:
    """An error for ``name`` that suggests the nearest of the ``known`` names.

    Args:
        kind: what ``name`` should have been: a model, a method …
        name: as typed.
        known: the names there are.
        listed_by: the command that lists them, where they are too many for a hint.

    >>> str(unknown_name("method", "v2dorp", ["v2drop", "random"]))
    "unknown method 'v2dorp'"
    >>> unknown_name("method", "v2dorp", ["v2drop", "random"]).hint
    'did you mean v2drop? known: v2drop, random'
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listing = f"{listed_by} lists all" if listed_by else f"known: {', '.join(names)}"
    hint = f"did you mean {' or '.join(near)}? {listing}" if near else listing
    return UnknownNameError(f"unknown {kind} {name!r}", hint=hint)


def reason_of(error: Exception) -> str:
    """What went wrong, without the number and the path that an ``OSError`` puts around it."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return text or type(error).__name__


def short(text: str) -> str:
    """Enough of what was given to know it by: it may be a whole file.

    >>> short("x" * 99) == "x" * 57 + "..."
    True
    """
    return text if len(text) <= 60 else f"{text[:57]}..."
