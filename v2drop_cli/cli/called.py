"""The command line of the command that runs: a report says how it was made."""

from __future__ import annotations

from contextvars import ContextVar

CALLED: ContextVar[str | None] = ContextVar("called", default=None)


def called() -> str | None:
    """What was typed, and what a config file added, as a line for a shell."""
    return CALLED.get()
