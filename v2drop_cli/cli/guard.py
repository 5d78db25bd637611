"""The one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from v2drop_cli.cli.interrupts import came, remembered
from v2drop_cli.cli.talk import say
from v2drop_cli.errors import DeviceMemoryError, V2DropError

if TYPE_CHECKING:
    from v2drop_cli.records import Report
    from v2drop_cli.records.curves import Sweep
    from v2drop_cli.records.evaluation import Evaluation
    from v2drop_cli.records.tuning import Tuning

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130
# transformers imports torchao wherever it is, which then lists at length what a machine lacks.
CHATTY = ("torchao", "torch.utils._pytree")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command that takes ``debug``: errors become one line each, not tracebacks."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        _hush()
        if not os.environ.get("COLUMNS", "1").strip("0"):
            del os.environ["COLUMNS"]  # a terminal that does not tell; rich would print nothing
        try:
            with remembered():
                return command(*args, **kwargs)
        except (typer.Exit, typer.BadParameter):
            raise
        except BrokenPipeError:
            # The reader of stdout went away (`| head`): nothing is wrong, nobody is listening.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise _interrupted() from None
        except Exception as error:
            if kwargs.get("debug"):
                raise
            # An import that is interrupted may say that there is no such package.
            raise (_interrupted() if came() else typer.Exit(_tell(error))) from None

    return wrapper


def _hush() -> None:
    import logging  # it brings a dozen modules, and --help needs none of them

    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def _interrupted() -> typer.Exit:
    say("interrupted")
    return typer.Exit(INTERRUPTED)


def leave_if_partial(report: Report | Sweep | Evaluation | Tuning) -> None:
    """Leave with 130 if measuring was interrupted; the report was shown and written before."""
    if report.partial:
        say("interrupted: the report is partial")
        raise typer.Exit(INTERRUPTED)


def _tell(error: Exception) -> int:
    """Print the error; return the exit code."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch here
        error = out_of_memory(error)
    if isinstance(error, V2DropError):
        _say("error", error.message)
        if error.hint:
            _say("hint", error.hint)
        return error.exit_code
    if isinstance(error, OSError):  # a full disk, a closed terminal
        _say("error", str(error))
        return 1
    _say("error", f"{type(error).__name__}: {str(error)[:500] or 'no message'}")
    _say("hint", "this was not expected; --debug shows where it happened")
    return 1


def _say(kind: str, text: str) -> None:
    say(f"{kind}: {' '.join(text.split())}")


def out_of_memory(error: Exception) -> DeviceMemoryError:
    """Torch's message says what was asked and what was free; keep those sentences."""
    sentences = str(error).split(". ")
    told = ". ".join(s for s in sentences if "Tried to allocate" in s or "free" in s)
    return DeviceMemoryError(
        f"out of GPU memory: {told or sentences[0]}",
        hint="try --dtype bfloat16, fewer --frames or images, a smaller model, or --device cpu",
    )
