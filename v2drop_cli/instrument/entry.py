"""Drops at layer 0: the decoder's input is shortened, so every layer's cache is born short.

transformers reads the length of a whole sequence off layer 0's cache: positions of later tokens,
the sizes of masks, what ``generate`` leaves out of the next turn's prompt. A later drop leaves
layer 0 alone, so that stays right by itself. After a drop at layer 0 it would be too small by as
many columns as were dropped, and all later tokens would be at wrong positions, without an error.
Where the first layers fold tokens into a state, which has no length, transformers reads it off the
first layer that keeps columns. What is said here of layer 0 is then true of that one, and of every
drop at it or before it.

So layer 0's cache goes on telling the length of the sequence, and is told how many columns of it
it does not hold. It keeps its keys and values, and all it can do otherwise:

    prompt     10 columns, layer 0 keeps 7    holds 7     get_seq_length() is 7 + 3
    next token  1 column                      holds 8     get_seq_length() is 8 + 3, its position 10

The cache says so by itself, not this context, so the length is right after the context too. That
gives the next token its position, and no more: masks of each layer's own length are made by an
open context only. Without one, rows that need no mask go on: without padding or filler, one token
at a time, under sdpa. All else is an error of transformers, or wrong: rows with filler, and
survivors that were numbered anew, which only an open context counts on from.
"""

from __future__ import annotations

from functools import cache as remembered
from typing import Any

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.derived import recipe_of, restored
from v2drop_cli.methods.base import Method
from v2drop_cli.schedule import Drop, Schedule


@remembered
def _telling(layer_class: Any) -> Any:
    """``layer_class``, the type of a layer's cache, that tells the length of the sequence.

    It derives from one class alone, or Python would not let it become an object's class.
    """

    class Telling(layer_class):  # type: ignore[misc]
        _layer_type = None  # transformers enters types that have a name here in a table
        recipe = recipe_of(layer_class, _telling)
        missing = 0  # columns of the sequence that are not held

        def get_seq_length(self) -> int:
            """Columns of the whole sequence; an emptied cache has none."""
            held = self.held_columns()
            return held + self.missing if held else 0

        def held_columns(self) -> int:
            """Columns of keys and values in this layer."""
            return int(super().get_seq_length())

        def reset(self) -> None:
            """Empty the layer."""
            super().reset()
            self.missing = self.missing if self.held_columns() else 0

        def crop(self, tokens_to_remove: int) -> None:
            """Take columns off the end; the cache crops layer 0 first, and by it all others."""
            _refuse_crop_of_all(self, tokens_to_remove)
            super().crop(tokens_to_remove)
            self.missing = self.missing if self.held_columns() else 0

        def __reduce__(self) -> Any:
            """Copies and pickles know the class by the one that it was made from."""
            return restored, (self.recipe, self.__dict__)

    Telling.__name__ = layer_class.__name__
    return Telling


def _refuse_crop_of_all(layer: Any, tokens_to_remove: int) -> None:
    """Raise where every column that a telling layer holds would go, but not the whole sequence.

    An empty layer would read as a new cache, and the text before the picture be forgotten.

    Args:
        layer: the layer of the cache.
        tokens_to_remove: how many, as a negative number; in transformers 5.17 also the length of
            the sequence that is to be left, as a positive one.

    Raises:
        InstrumentError: so it would be.
    """
    whole, size = layer.get_seq_length(), tokens_to_remove
    removed = whole - size if size > 0 else -size
    if layer.held_columns() <= removed < whole:
        raise cropped_into_a_prompt()


@remembered
def _answering(telling_class: Any) -> Any:
    """A class of :func:`_telling`, whose own layer counts what is held.

    It asks for the length once after each update, and nobody else does before it has asked.
    """

    class Answering(telling_class):  # type: ignore[misc]
        _layer_type = None
        recipe = recipe_of(telling_class, _answering)
        updated = False  # and not asked since

        def update(self, *args: Any, **kwargs: Any) -> Any:
            """Take new columns."""
            self.updated = True
            return super().update(*args, **kwargs)

        def get_seq_length(self) -> int:
            """Columns that are held, or of the whole sequence to all others."""
            mine, self.updated = self.updated, False
            return int(self.held_columns() if mine else super().get_seq_length())

    Answering.__name__ = telling_class.__name__
    return Answering


def cropped_into_a_prompt() -> InstrumentError:
    """What is said of a crop that takes columns of a prompt whose tokens were dropped."""
    return InstrumentError(
        "the KV cache was cropped into a prompt whose vision tokens were dropped",
        hint="crop no further than the text after the last image, or prefill again",
    )


def teller(cache: Any) -> int:
    """The layer whose cache tells the length of the whole sequence: the first with columns."""
    for layer, held in enumerate(getattr(cache, "layers", None) or ()):
        if hasattr(held, "get_seq_length"):
            return layer
    return 0


def _told(cache: Any) -> Any:
    """The teller's cache if it was told of columns that it does not hold, else ``None``."""
    layers = getattr(cache, "layers", None)
    layer = layers[teller(cache)] if layers else None
    return layer if hasattr(layer, "held_columns") else None


def held_at_entry(cache: Any) -> int:
    """Columns that the teller holds; its ``get_seq_length`` may count dropped ones."""
    layer = _told(cache)
    return int(cache.get_seq_length() if layer is None else layer.held_columns())


def leave_out(cache: Any, columns: int, *, asks: bool = False) -> None:
    """Tell the teller that it is about to get ``columns`` fewer than the sequence has.

    Args:
        cache: the cache, or ``None``.
        columns: how many.
        asks: whether the layer whose cache it is asks for its length, once after each update.

    Raises:
        InstrumentError: the cache is not made of layers, so there is none to be told.
    """
    if cache is None:
        return
    layer = _told(cache)
    if layer is None:
        layer = _first_layer(cache)
        kind: Any = type(layer)
        try:
            layer.__class__ = _answering(_telling(kind)) if asks else _telling(kind)
        except (AttributeError, TypeError):
            raise InstrumentError(
                f"layer {teller(cache)} of a {type(cache).__name__} cannot be told that its prompt "
                "was shortened",
                hint="generate with the default dynamic cache, or drop at later layers only",
            ) from None
    layer.missing = columns + (layer.missing if layer.held_columns() else 0)


def start_over(cache: Any) -> None:
    """Forget what an emptied ``cache`` left out: it is about to be filled again."""
    layer = _told(cache)
    if layer is not None and not layer.held_columns():
        layer.missing = 0


def _first_layer(cache: Any) -> Any:
    """The teller's cache, which some caches make at their first update only."""
    layers = getattr(cache, "layers", None)
    if layers == [] and getattr(cache, "layer_class_to_replicate", None) is not None:
        layers.append(cache.layer_class_to_replicate())
    return layers[teller(cache)] if layers else None


def with_entry(schedule: Schedule, method: Method) -> Schedule:
    """``schedule``; with a drop at layer 0, if ``method`` merges tokens before the decoder."""
    if method.merges_patches is None or schedule.drops[0].layer == 0:
        return schedule
    return Schedule((Drop(0, keep=1.0), *schedule.drops))
