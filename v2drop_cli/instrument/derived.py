"""Caches of layers whose class was exchanged for one derived from it, and copies of them.

Such a class has no name that a pickle could find it by. So copies know the functions that made it.
"""

from __future__ import annotations

from typing import Any


def recipe_of(layer_class: Any, make: Any) -> tuple[Any, ...]:
    """How ``make(layer_class)`` comes about: a class that has a name, and functions of classes."""
    return (*getattr(layer_class, "recipe", (layer_class,)), make)


def restored(recipe: tuple[Any, ...], values: dict[str, Any]) -> Any:
    """A layer's cache of the class that ``recipe`` makes, with these attributes."""
    made, *makers = recipe
    for make in makers:
        made = make(made)
    layer = made.__new__(made)
    layer.__dict__.update(values)
    return layer
