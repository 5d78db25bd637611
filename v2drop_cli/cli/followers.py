"""Processes among which one model is split: all do the same, and the first one alone speaks.

The others run what it runs, for each has a part of every layer. What they would print or write they
do not: what goes out is left at its defaults, and nobody hears them but of errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any

_FOLLOWS: ContextVar[bool] = ContextVar("follows", default=False)


def follows() -> bool:
    """Whether this process is not the first of those that share a model."""
    return _FOLLOWS.get()


@contextmanager
def following(typed: dict[str, Any], quiet: Mapping[str, Any]) -> Iterator[None]:
    """Run a command; silently, if this process follows another one.

    Args:
        typed: the command's options by name; is written to.
        quiet: what those about output are for one that writes nothing.
    """
    if typed.get("tp_plan") is None or _is_first():
        yield
        return
    typed |= quiet
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        token = _FOLLOWS.set(True)
        try:
            yield
        finally:
            _FOLLOWS.reset(token)


def _is_first() -> bool:
    from v2drop_cli.processes import Processes  # few commands ask

    return Processes.here().first
