"""``v2drop models``: what the registries hold, ready for a table or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import PlugInError, unknown_name
from v2drop_cli.methods.registry import get_method, known_methods
from v2drop_cli.models.names import ALIASES
from v2drop_cli.models.refused import CONFIGURATIONS, REFUSED
from v2drop_cli.models.registry import FAMILIES, get_family

if TYPE_CHECKING:
    from v2drop_cli.models.base import Family

Rows = list[dict[str, Any]]
Catalogue = dict[str, Rows]


def catalogue() -> Catalogue:
    """Models by alias, families, methods, presets and what is refused: rows with equal keys."""
    families = [get_family(name) for name in FAMILIES]
    return {
        "models": [
            {
                "alias": alias.name,
                "source": alias.source or "embedded",
                "family": alias.family,
                "dummy_weights": alias.config is not None or alias.source is None,
                "note": alias.note,
            }
            for alias in ALIASES.values()
        ],
        "families": [
            {
                "family": family.name,
                "model_types": list(family.model_types),
                "takes": list(family.media),
                "presets": list(family.presets),
                "preset_source": family.preset_source,
            }
            for family in families
        ],
        "methods": [{"method": name, "paper": _paper(name)} for name in known_methods()],
        "presets": _presets(families),
        **refusals(),
    }


def refusals() -> Catalogue:
    """What is refused, with the reasons: model types, and configurations of served families."""
    return {
        "refused": [{"model_type": name, "reason": reason} for name, reason in REFUSED.items()],
        "refused_configurations": [
            {"family": family, "configuration": what, "reason": reason}
            for family, what, reason in CONFIGURATIONS
        ],
    }


def overview() -> dict[str, list[str]]:
    """The families by what they take, each with its aliases: enough to choose a ``--model`` by.

    A family's line would be too much: there are more than a screen has lines.
    """
    found: dict[str, list[str]] = {"with video": [], "images only": []}
    for name in FAMILIES:
        aliases = ", ".join(alias.name for alias in ALIASES.values() if alias.family == name)
        takes = "with video" if "video" in get_family(name).media else "images only"
        found[takes].append(f"{name} ({aliases})" if aliases else name)
    return found


def entry(name: str) -> Catalogue:
    """The part of the catalogue that is about ``name``; its sections are those of the whole.

    Args:
        name: an alias, a family, a served or refused model type, or a method.

    Raises:
        UnknownNameError: it is none of these.
    """
    found = catalogue()
    kinds = {kind: row["family"] for row in found["families"] for kind in row["model_types"]}
    family = ALIASES[name].family if name in ALIASES else kinds.get(name, name)
    if name in ALIASES:
        found["models"] = [row for row in found["models"] if row["alias"] == name]
    else:
        found["models"] = [row for row in found["models"] if row["family"] == family]
    found["families"] = [row for row in found["families"] if row["family"] == family]
    found["methods"] = [row for row in found["methods"] if row["method"] == name]
    found["presets"] = [
        {**row, "families": [family]} for row in found["presets"] if family in row["families"]
    ]
    found["refused"] = [row for row in found["refused"] if row["model_type"] == name]
    configurations = [row for row in found["refused_configurations"] if row["family"] == family]
    found["refused_configurations"] = configurations
    if not any(found.values()):
        known = dict.fromkeys((*ALIASES, *FAMILIES, *kinds, *known_methods(), *REFUSED))
        raise unknown_name("model", name, known, listed_by="v2drop models [--refused]")
    return found


def _paper(method: str) -> str | None:
    """Where it is defined; ``None`` for a plug-in that is broken, which hinders nobody else."""
    try:
        return get_method(method).paper
    except PlugInError:
        return None


def _presets(families: Sequence[Family]) -> Rows:
    """One row per schedule; most families share the paper's."""
    shared: dict[tuple[str, str, int], list[str]] = {}
    for family in families:
        for name, schedule in family.presets.items():
            key = (name, schedule, family.preset_layers)
            shared.setdefault(key, []).append(family.name)
    return [
        {"preset": name, "schedule": schedule, "at_layers": depth, "families": names}
        for (name, schedule, depth), names in shared.items()
    ]
