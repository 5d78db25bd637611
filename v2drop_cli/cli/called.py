"""The command line of the command that runs: a report says how it was made."""

from __future__ import annotations

from contextvars import ContextVar

CALLED: ContextVar[str | None] = ContextVar("called", default=None)
TYPED: ContextVar[frozenset[str]] = ContextVar("typed", default=frozenset())


def called() -> str | None:
    """What was typed, and what a config file added, as a line for a shell."""
    return CALLED.get()


def typed_beside(*names: str) -> list[str]:
    """Options that stand on the command line itself, but for those of these names."""
    return sorted(f"--{name.replace('_', '-')}" for name in TYPED.get() - frozenset(names))
