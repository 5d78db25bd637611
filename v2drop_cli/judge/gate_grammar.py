"""The one grammar of ``--fail-if``, for ``v2drop profile`` and ``v2drop compare``.

    gates      = gate, {",", gate}
    gate       = [LABEL, ":"], METRIC, condition
    condition  = SIGN, NUMBER          profile: a value of this report
               | ":", SHARE            compare: how much worse B may be than A, 5% or 0.05
    SIGN       = "<" | "<=" | ">" | ">=" | "==" | "!="

A label may itself hold commas, colons and equals signs (``v2drop 3:0.5,17:0.3``,
``dart:image_pivots=4,text_pivots=4``), so a gate ends at the first comma behind which it is
complete. A ``SHARE`` holds no equals sign, so ``dart:image_pivots=4`` alone is no gate yet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from v2drop_cli.errors import UsageError, unknown_name

_VALUE = re.compile(r"(?:(.+):)?\s*([a-z_]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)")
_CHANGE = re.compile(r"(?:(.+):)?\s*([a-z_]+)\s*(:)\s*([^\s:=]+)")
CHANGE_SIGN = ":"


@dataclass(frozen=True, slots=True)
class Form:
    """What one command accepts.

    Attributes:
        metrics: names it knows.
        hint: how its gates are written, with an example.
        changes: whether its gates are about a change (``METRIC:SHARE``) or a value.
    """

    metrics: Collection[str]
    hint: str
    changes: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """One gate, as typed.

    Attributes:
        text: what was typed, for messages.
        arm: label of the arm it is about, or ``None`` for all that the command asks about.
        metric: a name of the form's.
        sign: the comparison, or ``:`` for a change.
        limit: what to compare with; the share, for a change.
    """

    text: str
    arm: str | None
    metric: str
    sign: str
    limit: float


def parse_conditions(texts: Sequence[str], form: Form) -> tuple[Condition, ...]:
    """Read all gates of all options.

    Raises:
        UsageError: no gate, or one of the other command's.
        UnknownNameError: a metric that the form does not know.
    """
    return tuple(_condition(part, form) for text in texts for part in _parts(text, form))


def _pattern(form: Form) -> re.Pattern[str]:
    return _CHANGE if form.changes else _VALUE


def _parts(text: str, form: Form) -> list[str]:
    """Split at those commas that end a gate; what never ends is one part, to be refused."""
    parts, begun = [], ""
    for piece in text.split(","):
        begun = f"{begun},{piece}" if begun else piece
        if _pattern(form).fullmatch(begun.strip()) or not begun.strip():
            parts.append(begun.strip())
            begun = ""
    return [*parts, begun.strip()] if begun else parts


def _condition(text: str, form: Form) -> Condition:
    match = _pattern(form).fullmatch(text)
    if match is None:
        other = _VALUE if form.changes else _CHANGE
        why = ": that form is for the other command" if other.fullmatch(text) else ""
        raise UsageError(f"cannot read the gate {text!r}{why}", hint=form.hint)
    arm, metric, sign, limit = match.groups()
    if metric not in form.metrics:
        raise unknown_name("metric", metric, form.metrics)
    number = _share(limit) if form.changes else _number(limit)
    if number is None:
        kind = "share" if form.changes else "number, true or false"
        raise UsageError(f"{limit!r} in the gate {text!r} is no {kind}", hint=form.hint)
    return Condition(text, arm, metric, sign, number)


def _number(text: str) -> float | None:
    words = {"true": 1.0, "false": 0.0}
    try:
        value = words[text] if text in words else float(text)
    except ValueError:
        return None
    return value if value == value else None  # NaN compares with nothing: it could never fail


def _share(text: str) -> float | None:
    """``5%`` or ``0.05`` → 0.05; 0 allows no change for the worse. A bare 5 forgot its ``%``."""
    percent = text.endswith("%")
    try:
        value = float(text[:-1] if percent else text) / (100 if percent else 1)
    except ValueError:
        return None
    return value if 0 <= value < (float("inf") if percent else 1) else None
