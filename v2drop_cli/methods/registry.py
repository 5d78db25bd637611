"""The methods by name: this package's own, then those of other packages.

Nothing is imported until a method is asked for. A name in :data:`METHODS` always means the method
here, whatever is installed: reports of the same name must mean the same thing everywhere.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.methods.parameters import build, split, split_name
from v2drop_cli.methods.plug_ins import plug_in, plug_in_names

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

METHODS: dict[str, str] = {
    "v2drop": "v2drop_cli.methods.v2drop:V2Drop",
    "v2drop-l1": "v2drop_cli.methods.v2drop:V2DropL1",
    "v2drop-cosine": "v2drop_cli.methods.v2drop:V2DropCosine",
    "v2drop-centred": "v2drop_cli.methods.v2drop_centred:V2DropCentred",
    "random": "v2drop_cli.methods.random:Random",
    "uniform": "v2drop_cli.methods.uniform:Uniform",
    "divprune": "v2drop_cli.methods.divprune:DivPrune",
    "cdpruner": "v2drop_cli.methods.cdpruner:CDPruner",
    "qapruner": "v2drop_cli.methods.qapruner:QAPruner",
    "evs": "v2drop_cli.methods.evs:EVS",
    "deviation": "v2drop_cli.methods.deviation:Deviation",
    "metacompress": "v2drop_cli.methods.metacompress:MetaCompress",
    "fastv": "v2drop_cli.methods.fastv:FastV",
    "pyramiddrop": "v2drop_cli.methods.pyramiddrop:PyramidDrop",
    "vtw": "v2drop_cli.methods.vtw:VTW",
    "dart": "v2drop_cli.methods.dart:Dart",
    "sparsevlm": "v2drop_cli.methods.sparsevlm:SparseVLM",
    "mustdrop": "v2drop_cli.methods.mustdrop:MustDrop",
    "visionzip": "v2drop_cli.methods.visionzip:VisionZip",
    "holov": "v2drop_cli.methods.holov:HoloV",
    "scope": "v2drop_cli.methods.scope:Scope",
    "vispruner": "v2drop_cli.methods.vispruner:VisPruner",
    "hired": "v2drop_cli.methods.hired:HiRED",
    "hero": "v2drop_cli.methods.hero:Hero",
}


ALL = "all"
"""As a method on the command line: every method that the model and the prompt support."""


def check_method(text: str) -> None:
    """Check a method as typed, ``name`` or ``name:key=value,key=value``, before a model is loaded.

    A bare name is only looked up; parameters need the method's class, and so its imports.

    Raises:
        UnknownNameError: no such method, or no such parameter.
        UsageError: a parameter that cannot be read, or has a wrong value; or two methods that do
            not go together.
    """
    name, values = split(text)
    if values or len(parts_of(text)) > 1:
        get_method(text)
    else:
        _check_name(name)


def get_method(text: str) -> Method:
    """The method that ``text`` names: ``name``, ``name:key=value,key=value``, or two with a ``+``.

    Raises:
        UnknownNameError: no such method, or no such parameter.
        UsageError: a parameter that cannot be read, or has a wrong value; or two methods that do
            not go together.
        PlugInError: another package's method, which cannot be used.
    """
    parts = parts_of(text)
    if len(parts) > 1:
        from v2drop_cli.methods.composed import Composed

        if len(parts) != 2:
            hint = "write FIRST+SECOND: the first drops before the decoder, the second inside"
            raise UsageError(f"{text!r} composes {len(parts)} methods, not two", hint=hint)
        return Composed(*map(get_method, parts))
    name, values = split(text)
    return build(_kind(name), values)


def parts_of(text: str) -> list[str]:
    """The methods that ``text`` is composed of, each with its parameters.

    After a parameter, only a ``+`` before the name of a method composes: values may hold others.

    >>> parts_of("random+v2drop"), parts_of("some:path=a+b,rate=1e+5+v2drop")
    (['random', 'v2drop'], ['some:path=a+b,rate=1e+5', 'v2drop'])
    """
    first, *rest = text.split("+")
    parts = [first]
    for piece in rest:
        if ":" in parts[-1] and split_name(piece) not in known_methods():
            parts[-1] += f"+{piece}"
        else:
            parts.append(piece)
    return [part.strip() for part in parts]


def name_of(text: str) -> str:
    """The name of the method that ``text`` names, without parameters.

    >>> name_of("random+v2drop"), name_of("dart:image_pivots=8")
    ('random+v2drop', 'dart')
    """
    return "+".join(map(split_name, parts_of(text)))


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
