"""A method's parameters in text: ``name:key=value,key=value``, read and written.

    >>> split("dart:image_pivots=4,text_pivots=8")
    ('dart', {'image_pivots': '4', 'text_pivots': '8'})

No torch: what was typed is read before seconds of imports.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

Value = bool | int | float | str

HINT = "write NAME or NAME:KEY=VALUE,KEY=VALUE"
_BOOLEANS = {"true": True, "false": False}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
}


def split_name(text: str) -> str:
    """The name of a method as typed, without its parameters.

    >>> split_name(" dart:image_pivots=4")
    'dart'
    """
    return text.partition(":")[0].strip()


def split(text: str) -> tuple[str, dict[str, str]]:
    """The name and the parameters of a method, as typed.

    Raises:
        UsageError: a parameter is no ``key=value``, or is given twice.
    """
    name, colon, rest = text.partition(":")
    values: dict[str, str] = {}
    for item in rest.split(",") if colon else ():
        key, sign, value = (part.strip() for part in item.partition("="))
        if not sign or not key:
            raise UsageError(f"{item!r} in the method {text!r} is no KEY=VALUE", hint=HINT)
        if key in values:
            raise UsageError(f"the method {text!r} gives {key} twice", hint="give each key once")
        values[key] = value
    return split_name(name), values


def build(kind: type[Method], values: Mapping[str, str]) -> Method:
    """The method ``kind`` with parameters ``values``, each read as its field's type says.

    Raises:
        UnknownNameError: it has no such parameter.
        UsageError: a value is not of the field's type, or the method itself refuses it.
    """
    known = [field.name for field in _fields(kind)]
    types = typing.get_type_hints(kind)
    for key in values:
        if key not in known:
            raise unknown_name(f"parameter of {kind.name}", key, known)
    read: dict[str, Any] = {key: _read(kind, key, values[key], types[key]) for key in values}
    return kind(**read)


def _read(kind: type[Method], key: str, text: str, of: Any) -> Value:
    """``text`` as the field ``key`` wants it."""
    if of not in _KINDS and typing.get_origin(of) is not typing.Literal:
        hint = "pass an instance of the method, in Python"
        raise UsageError(f"{key} of {kind.name} cannot be given as text", hint=hint)
    if typing.get_origin(of) is typing.Literal:
        choices = typing.get_args(of)
        if text not in choices:
            raise unknown_name(f"{key} of {kind.name}", text, choices)
        return text
    try:
        value: Value = _BOOLEANS[text.lower()] if of is bool else of(text)
    except (KeyError, ValueError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        hint = f"for example {kind.name}:{key}={_written(_default(kind, key))}"
        raise UsageError(f"{key}={text} of {kind.name} is not {_KINDS[of]}", hint=hint)
    return value


def _default(kind: type[Method], key: str) -> Any:
    [found] = [field.default for field in dataclasses.fields(kind) if field.name == key]
    return found


def parameters_of(method: Method) -> dict[str, Value]:
    """All parameters of ``method`` with their values, its own before what all methods have.

    Those of a composed method say whose they are: ``visionzip.contextual``.
    """
    parts = method.parts
    if len(parts) == 1:
        return _values(method)
    return {
        f"{part.name}.{key}": value for part in parts for key, value in parameters_of(part).items()
    }


def _values(method: Method) -> dict[str, Value]:
    return {field.name: getattr(method, field.name) for field in _fields(method)}


def _fields(method: Method | type[Method]) -> list[dataclasses.Field[Any]]:
    """Its own in the order of the class, then ``positions``, which the base class brings."""
    return sorted(dataclasses.fields(method), key=lambda field: field.kw_only is True)


def written(method: Method) -> str:
    """The one text form of ``method``: what differs from the defaults, in their order.

    :func:`v2drop_cli.methods.registry.get_method` reads it back to an equal method, unless a text
    parameter holds a comma.
    """
    if len(method.parts) > 1:
        return "+".join(map(written, method.parts))
    defaults = {field.name: field.default for field in dataclasses.fields(method)}
    changed = [
        f"{key}={_written(value)}"
        for key, value in _values(method).items()
        if value != defaults[key]
    ]
    return f"{method.name}:{','.join(changed)}" if changed else method.name


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
