"""``v2drop models``: what the registries hold, ready for a table or JSON."""

from __future__ import annotations

from typing import Any

from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.models.registry import ALIASES, FAMILIES, get_family

Rows = list[dict[str, Any]]


def catalogue() -> dict[str, Rows]:
    """Models by alias, families, methods and presets, each a list of rows with equal keys."""
    families = [get_family(name) for name in FAMILIES]
    return {
        "models": [
            {
                "alias": alias.name,
                "source": alias.source or "embedded",
                "family": alias.family,
                "dummy weights": alias.config is not None or alias.source is None,
                "note": alias.note,
            }
            for alias in ALIASES.values()
        ],
        "families": [
            {
                "family": family.name,
                "model types": list(family.model_types),
                "presets": list(family.presets),
                "preset source": family.preset_source,
            }
            for family in families
        ],
        "methods": [{"method": name, "paper": get_method(name).paper} for name in METHODS],
        "presets": [
            {"preset": name, "family": family.name, "schedule at 32 layers": schedule}
            for family in families
            for name, schedule in family.presets.items()
        ],
    }
