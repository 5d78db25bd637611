"""The methods by name. Nothing is imported until a method is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from v2drop_cli.errors import unknown_name
from v2drop_cli.methods.parameters import build, split

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

METHODS: dict[str, str] = {
    "v2drop": "v2drop_cli.methods.v2drop:V2Drop",
    "v2drop-l1": "v2drop_cli.methods.v2drop:V2DropL1",
    "v2drop-cosine": "v2drop_cli.methods.v2drop:V2DropCosine",
    "random": "v2drop_cli.methods.random:Random",
    "uniform": "v2drop_cli.methods.uniform:Uniform",
}


def check_method(text: str) -> None:
    """Check a method as typed, ``name`` or ``name:key=value,key=value``, before a model is loaded.

    A bare name is only looked up; parameters need the method's class, and so its imports.

    Raises:
        UnknownNameError: no such method, or no such parameter.
        UsageError: a parameter that cannot be read, or has a wrong value.
    """
    name, values = split(text)
    if values:
        build(_kind(name), values)
    else:
        _target(name)


def get_method(text: str) -> Method:
    """The method that ``text`` names, ``name`` or ``name:key=value,key=value``.

    Raises:
        UnknownNameError: no such method, or no such parameter.
        UsageError: a parameter that cannot be read, or has a wrong value.
    """
    name, values = split(text)
    return build(_kind(name), values)


def _kind(name: str) -> type[Method]:
    """The class of the method called ``name``."""
    module, attribute = _target(name).split(":")
    kind: type[Method] = getattr(importlib.import_module(module), attribute)
    return kind


def _target(name: str) -> str:
    """Where the class of the method called ``name`` is: ``module:Class``."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
