"""``v2drop models``: what the registries hold, ready for a table or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.models.names import ALIASES
from v2drop_cli.models.refused import CONFIGURATIONS, REFUSED
from v2drop_cli.models.registry import FAMILIES, get_family

if TYPE_CHECKING:
    from v2drop_cli.models.base import Family

Rows = list[dict[str, Any]]


def catalogue() -> dict[str, Rows]:
    """Models by alias, families, methods, presets and what is refused: rows with equal keys."""
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
                "takes": list(family.media),
                "presets": list(family.presets),
                "preset source": family.preset_source,
            }
            for family in families
        ],
        "methods": [{"method": name, "paper": get_method(name).paper} for name in METHODS],
        "presets": _presets(families),
        "refused": [{"model type": name, "reason": reason} for name, reason in REFUSED.items()],
        "refused configurations": [
            {"family": family, "configuration": what, "reason": reason}
            for family, what, reason in CONFIGURATIONS
        ],
    }


def _presets(families: Sequence[Family]) -> Rows:
    """One row per schedule; most families share the paper's."""
    shared: dict[tuple[str, str, int], list[str]] = {}
    for family in families:
        for name, schedule in family.presets.items():
            key = (name, schedule, family.preset_layers)
            shared.setdefault(key, []).append(family.name)
    return [
        {"preset": name, "schedule": schedule, "at layers": depth, "families": names}
        for (name, schedule, depth), names in shared.items()
    ]
