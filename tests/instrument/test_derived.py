"""Classes derived from a layer's cache, which have no name: how a copy is of the same class."""

from __future__ import annotations

from functools import cache

from v2drop_cli.instrument.derived import recipe_of, restored


class Plain:
    """A layer's cache, which may only be made with something to hold."""

    def __init__(self, held):
        self.held = held


@cache
def told(layer_class):
    return type("Told", (layer_class,), {"recipe": recipe_of(layer_class, told)})


@cache
def counted(layer_class):
    return type("Counted", (layer_class,), {"recipe": recipe_of(layer_class, counted)})


def test_a_recipe_begins_with_the_class_that_has_a_name():
    assert recipe_of(Plain, told) == (Plain, told)
    assert recipe_of(told(Plain), counted) == (Plain, told, counted)
    assert recipe_of(counted(Plain), told) == (Plain, counted, told)


def test_a_copy_is_of_the_class_that_the_recipe_makes_and_has_the_same_attributes():
    for made in (told(Plain), counted(told(Plain)), told(counted(Plain))):
        layer = made([1, 2])
        layer.missing = 3
        copy = restored(made.recipe, layer.__dict__)
        assert type(copy) is made
        assert copy.__dict__ == {"held": [1, 2], "missing": 3}
        copy.missing = 4
        assert layer.missing == 3


def test_a_class_that_nothing_was_derived_from_is_made_as_it_is():
    assert type(restored((Plain,), {"held": 5})) is Plain
