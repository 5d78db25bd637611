"""Ctrl-C that is not lost.

Python raises ``KeyboardInterrupt`` wherever it happens to be: in the callback of a weak reference
or in a library that catches everything, the exception ends there, and the work goes on for ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Signals are the whole process's, and so is this.
_came: list[int] = []


@contextmanager
def remembered() -> Iterator[None]:
    """Remember an interrupt for the duration, unless somebody else handles interrupts."""
    _came.clear()
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def check() -> None:
    """Raise ``KeyboardInterrupt`` if one came; call it between two pieces of work."""
    if _came:
        raise KeyboardInterrupt


def came() -> bool:
    """Whether an interrupt came since the command began: what failed then failed for it."""
    return bool(_came)


def _remember(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt
