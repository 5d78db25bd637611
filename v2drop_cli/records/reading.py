"""A report file back as records: read, checked against the schema, and typed."""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from pathlib import Path
from typing import Any, NoReturn

from v2drop_cli.errors import UsageError, reason_of
from v2drop_cli.records import changes, curves, evaluation, schema, tuning
from v2drop_cli.records.curves import Sweep
from v2drop_cli.records.report import SCHEMA, Report

_HINT = "give a file that v2drop wrote with --output or --json"
_WRITTEN_BY = {
    SCHEMA: "v2drop run or v2drop profile",
    curves.SCHEMA: "v2drop sweep",
    evaluation.SCHEMA: "v2drop eval",
    changes.SCHEMA: "v2drop compare",
    tuning.SCHEMA: "v2drop tune",
}
"""Which command writes the documents of a schema."""


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read, check and type the report in ``path``.

    Keys that this version does not know are left out; keys that it added are at their default.

    Raises:
        UsageError: no such file, no JSON, or no sound report; the message names the field.
    """
    found: Report = _built(load_report(path), Report)
    return found


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read, check and type the sweep in ``path``, as :func:`read_report` does a report.

    Raises:
        UsageError: no such file, no JSON, or no sound sweep.
    """
    found: Sweep = _built(_loaded(path, Sweep), Sweep)
    return found


def _built(value: Any, kind: Any) -> Any:
    """``value``, which fits ``kind``, as ``kind``."""
    if value is None:
        return None
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = [field.name for field in dataclasses.fields(kind) if field.name in value]
        build = typing.cast("typing.Callable[..., Any]", kind)
        return build(**{name: _built(value[name], hints[name]) for name in known})
    if typing.get_origin(kind) is types.UnionType:
        [option] = [one for one in typing.get_args(kind) if one is not types.NoneType]
        return _built(value, option)
    if typing.get_origin(kind) is tuple:
        return tuple(_built(item, typing.get_args(kind)[0]) for item in value)
    return float(value) if kind is float else value


def load_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the document in ``path`` and check it with :func:`validate`.

    Raises:
        UsageError: no such file, no JSON, or no report.

    """
    return _loaded(path, Report)


def _loaded(path: str | os.PathLike[str], kind: type) -> dict[str, Any]:
    shown = repr(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise UsageError(f"there is no report {shown}", hint=_HINT) from error
    except OSError as error:
        message = f"cannot read {shown}: {reason_of(error)}"
        raise UsageError(message, hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        message = f"{shown} is not JSON: {reason_of(error)}"
        raise UsageError(message, hint=_HINT) from error
    try:
        validate(document, kind)
    except UsageError as error:
        raise UsageError(f"{shown}: {error.message}", hint=error.hint) from error
    return dict(document)


def validate(document: object, kind: type = Report) -> None:
    """Check that ``document`` is a ``v2drop.report/1``: keys, types, and that it makes sense.

    Or what ``kind`` says: a ``v2drop.sweep/1``.

    Keys that this version does not know are let through.

    Raises:
        UsageError: it is another program's JSON, another version's, or was tampered with.

    """
    name = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(name, str):
        raise UsageError("this is not a v2drop report", hint=_HINT)
    wanted = SCHEMA if kind is Report else curves.SCHEMA
    if name in _WRITTEN_BY and name != wanted:
        message = f"this is a document of {_WRITTEN_BY[name]}"
        raise UsageError(message, hint=f"give one of {_WRITTEN_BY[wanted]}")
    if name != wanted:
        hint = f"this version of v2drop reads {wanted}"
        raise UsageError(f"the schema {schema.shown(name)} is not known", hint=hint)
    problem = schema.first_problem(document, kind)
    if problem is not None:
        raise UsageError(f"this is not a sound {wanted}: {problem}", hint=_HINT)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
