"""The methods by name: this package's own, then those of other packages.

Nothing is imported until a method is asked for. A name in :data:`METHODS` always means the method
here, whatever is installed: reports of the same name must mean the same thing everywhere.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from v2drop_cli.errors import unknown_name
from v2drop_cli.methods.parameters import build, split
from v2drop_cli.methods.plug_ins import plug_in, plug_in_names

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

METHODS: dict[str, str] = {
    "v2drop": "v2drop_cli.methods.v2drop:V2Drop",
    "v2drop-l1": "v2drop_cli.methods.v2drop:V2DropL1",
    "v2drop-cosine": "v2drop_cli.methods.v2drop:V2DropCosine",
    "random": "v2drop_cli.methods.random:Random",
    "uniform": "v2drop_cli.methods.uniform:Uniform",
    "mustdrop": "v2drop_cli.methods.mustdrop:MustDrop",
    "sparsevlm": "v2drop_cli.methods.sparsevlm:SparseVLM",
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
        _check_name(name)


def get_method(text: str) -> Method:
    """The method that ``text`` names, ``name`` or ``name:key=value,key=value``.

    Raises:
        UnknownNameError: no such method, or no such parameter.
        UsageError: a parameter that cannot be read, or has a wrong value.
        PlugInError: another package's method, which cannot be used.
    """
    name, values = split(text)
    return build(_kind(name), values)


def _kind(name: str) -> type[Method]:
    """The class of the method called ``name``."""
    kind: type[Method] | None
    if name in METHODS:
        module, attribute = METHODS[name].split(":")
        kind = getattr(importlib.import_module(module), attribute)
    else:
        kind = plug_in(name)
    if kind is None:
        raise unknown_name("method", name, known_methods())
    return kind


def known_methods() -> list[str]:
    """All names: this package's in order, then those that other packages add."""
    return [*METHODS, *(name for name in plug_in_names() if name not in METHODS)]


def _check_name(name: str) -> None:
    if name not in METHODS and name not in known_methods():
        raise unknown_name("method", name, known_methods())
