"""Families by ``model_type`` and models by alias. Families are imported when asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import UnsupportedModelError

if TYPE_CHECKING:
    from v2drop_cli.models.base import Family

# family name → where it is; the file in this folder has the family's name.
FAMILIES: dict[str, str] = {
    "llava": "v2drop_cli.models.llava:LLAVA",
}


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name for a model.

    Attributes:
        name: as in ``--model``.
        source: Hub id, or ``None`` for the model embedded in this package.
        family: family name.
        config: file in ``assets/`` with the architecture, for ``--weights dummy``; or ``None``.
        note: one line for ``v2drop models``.
    """

    name: str
    source: str | None
    family: str
    config: str | None
    note: str


ALIASES: dict[str, Alias] = {
    alias.name: alias
    for alias in (
        Alias("tiny", None, "llava", None, "trained, embedded: no download, runs on a CPU"),
        Alias(
            "llava-1.5-7b",
            "llava-hf/llava-1.5-7b-hf",
            "llava",
            "llava-1.5-7b.json",
            "the paper's main model, 576 vision tokens",
        ),
        Alias(
            "llava-1.5-13b",
            "llava-hf/llava-1.5-13b-hf",
            "llava",
            "llava-1.5-13b.json",
            "40 decoder layers, 576 vision tokens",
        ),
    )
}


def get_family(name: str) -> Family:
    """The family called ``name``."""
    module, attribute = FAMILIES[name].split(":")
    family: Family = getattr(importlib.import_module(module), attribute)
    return family


def family_for(config: Any) -> Family:
    """The family that serves ``config.model_type``.

    Raises:
        UnsupportedModelError: no family does, or the family refuses this configuration.
    """
    model_type = getattr(config, "model_type", None)
    families = [get_family(name) for name in FAMILIES]
    for family in families:
        if model_type in family.model_types:
            reason = family.refusal(config)
            if reason is not None:
                raise UnsupportedModelError(f"cannot drop in this {family.name} model: {reason}")
            return family
    served = sorted(name for family in families for name in family.model_types)
    raise UnsupportedModelError(
        f"no family serves model_type {model_type!r}", hint=f"served: {', '.join(served)}"
    )
