"""What a command says while it works and when it leaves: lines on stderr, talk and no data."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """One line on stderr. File names and library messages may hold anything; terminals may not.

    It goes through ``sys.stderr`` and not round it: beside a live bar Rich stands there, and puts
    the line above the bar. Where nobody can hear it, the line is lost, never the command: a stderr
    may be closed, full, or a pipe that nobody reads.
    """
    from v2drop_cli.report.text import clean, encodable

    stream = sys.stderr
    if stream is None:  # closed before Python started
        return
    encoding = getattr(stream, "rich_proxied_file", stream).encoding  # Rich's own knows none
    try:
        print(encodable(clean(line), encoding or "utf-8"), file=stream, flush=True)
    except (OSError, ValueError):
        # What is left in its buffer would fail once more when Python leaves.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
