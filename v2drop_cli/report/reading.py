"""A report file back as records: what :mod:`~v2drop_cli.report.json_file` has checked, typed."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from typing import Any

from v2drop_cli.records import Report
from v2drop_cli.report.json_file import load_report


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read, check and type the report in ``path``.

    Keys that this version does not know are left out; keys that it added are at their default.

    Raises:
        UsageError: no such file, no JSON, or no sound report; the message names the field.
    """
    found: Report = _built(load_report(path), Report)
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
