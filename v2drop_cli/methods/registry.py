"""The methods by name. Nothing is imported until a method is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from v2drop_cli.errors import unknown_name

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

METHODS: dict[str, str] = {
    "v2drop": "v2drop_cli.methods.v2drop:V2Drop",
    "v2drop-l1": "v2drop_cli.methods.v2drop:V2DropL1",
    "v2drop-cosine": "v2drop_cli.methods.v2drop:V2DropCosine",
    "random": "v2drop_cli.methods.random:Random",
    "uniform": "v2drop_cli.methods.uniform:Uniform",
}


def check_method(name: str) -> None:
    """Raise :class:`~v2drop_cli.errors.UnknownNameError` for a name that is no method."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)


def get_method(name: str) -> Method:
    """The method called ``name``."""
    check_method(name)
    module, attribute = METHODS[name].split(":")
    method: Method = getattr(importlib.import_module(module), attribute)()
    return method
