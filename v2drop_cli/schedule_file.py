"""Schedules in files: what ``--schedule @FILE`` reads, and ``v2drop tune`` writes.

A file holds a JSON object with the schedule in ``schedule``, and beside it whatever says how it was
found; or the text form itself, over as many lines as one likes, with comments behind a ``#``:

    # tuned by hand, 2026-11-29
    3:0.5, 17:30%
    22:0
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2drop_cli.errors import ScheduleError, reason_of
from v2drop_cli.schedule import GRAMMAR_HINT, Schedule

SCHEMA = "v2drop.schedule/1"
MARK = "@"
LONGEST = 2**20
"""Bytes: no schedule is that long, and a name may be that of an endless file."""
_HINT = f"a file holds what v2drop tune writes, or a schedule: {GRAMMAR_HINT}"


def schedule_of(text: str | Schedule) -> Schedule:
    """The schedule that a user gave: itself, its text form, or ``@FILE``.

    Raises:
        ScheduleError: it cannot be read.
    """
    if not isinstance(text, str) or not text.startswith(MARK):
        return Schedule.parse(text)
    name = text.removeprefix(MARK)
    try:
        return Schedule.parse(_text_in(name))
    except ScheduleError as error:
        raise ScheduleError(f"{name}: {error.message}", hint=error.hint) from None


def written(schedule: Schedule, method: str, found: Mapping[str, Any]) -> str:
    """What a file of ``schedule`` holds.

    Args:
        schedule: in shares, so that it fits every prompt.
        method: the one that it was found for; a reader gives it by ``--method``.
        found: how.
    """
    document = {"schema": SCHEMA, "schedule": str(schedule), "method": method, "found": {**found}}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _text_in(name: str) -> str:
    """The text form that the file holds."""
    content = _content(name)
    if content.lstrip().startswith("{"):
        return _schedule_in(content)
    lines = (line.partition("#")[0].strip().strip(",") for line in content.splitlines())
    return ",".join(line for line in lines if line)


def _content(name: str) -> str:
    if not name:
        raise ScheduleError("@ names no file", hint="write @FILE, for example @schedule.json")
    try:
        with Path(name).open("rb") as file:
            data = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise ScheduleError(f"cannot be read: {reason_of(error)}", hint=_HINT) from None
    if len(data) > LONGEST:
        raise ScheduleError(f"longer than {LONGEST >> 20} MiB: no schedule is", hint=_HINT)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScheduleError("no UTF-8 text", hint=_HINT) from None


def _schedule_in(content: str) -> str:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"no sound JSON: {reason_of(error)}", hint=_HINT) from None
    found = document.get("schedule")
    if document.get("schema") != SCHEMA or not isinstance(found, str):
        hint = f"this version reads {SCHEMA}, with the text form in 'schedule'"
        raise ScheduleError("holds another document than a schedule", hint=hint)
    return found
