"""Caches of layers with sliding windows: nothing in view is thrown away, and nobody counts columns.

transformers keeps the last ``window - 1`` columns of such a layer. After a drop the columns of a
row lie further apart in the sequence than in the cache, so those in view are always among these
last ones, and the cache may stay what it is. What it holds beyond the view is masked, see
:class:`~v2drop_cli.instrument.masks.View`:

    window 4, columns 0 3 4 5 of a prompt of 6 are left, and the next token is column 6

    the cache holds   3 4 5      the last three of them
    in view are         4 5 6    of the dense model's 3 4 5 6 without 3, which is out of view
                                 for column 7, and still held then

Two things break that: filler on the right of a shorter row takes the places of columns in view, and
a method may give tokens another order. The layer then keeps as many columns more.

Masks by places are made by an open context only. A cache that is gone on with after it would get
transformers' masks, which count columns; so it says no once a window cuts something.
"""

from __future__ import annotations

from functools import cache as remembered
from typing import Any

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.derived import recipe_of, restored


@remembered
def _by_place(layer_class: Any) -> Any:
    """``layer_class``, the type of a layer's cache, for a window that an open context counts."""

    class ByPlace(layer_class):  # type: ignore[misc]
        _layer_type = None  # transformers enters types that have a name here in a table
        recipe = recipe_of(layer_class, _by_place)
        size = 0  # of the window
        spare = 0  # columns kept beyond the window's
        dropped = 0  # columns of the sequence that this layer was never given
        served = False  # whether the next columns come with a mask by places

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
            """Take new columns.

            Raises:
                InstrumentError: nobody made a mask for them, and the window cuts something.
            """
            served, self.served = self.served, False
            if not served and cuts(self, key_states.shape[-2]):
                raise InstrumentError(
                    "this KV cache is gone on with outside of its dropping() context, and a "
                    "sliding window would count columns",
                    hint="keep one dropping() context open for all turns on a cache",
                )
            return super().update(key_states, value_states, *args, **kwargs)

        def reset(self) -> None:
            """Empty the layer, which is then one like any other."""
            super().reset()
            self.dropped = 0
            keep(self, 0)

        def __reduce__(self) -> Any:
            """Copies and pickles know the class by the one that it was made from."""
            return restored, (self.recipe, self.__dict__)

    ByPlace.__name__ = layer_class.__name__
    return ByPlace


def columns_given(layer: Any) -> int:
    """Columns that came into a layer's cache, also those that it threw away since."""
    given = getattr(layer, "cumulative_length", None)
    if given is not None:  # a window on the answer alone counts the prompt apart
        return int(given) + int(getattr(layer, "prefill_cumulative_length", 0))
    return int(layer.keys.shape[-2]) if layer.is_initialized else 0


def cuts(layer: Any, new: int) -> bool:
    """Whether the window is full once a filled cache, told by place, gets ``new`` columns.

    transformers then makes a mask, of one layer's length for all.
    """
    given = columns_given(layer)
    return bool(given and given + new + layer.dropped >= layer.size)


def keep(layer: Any, spare: int) -> None:
    """Keep ``spare`` columns beyond those of the window."""
    layer.spare = spare
    if hasattr(layer, "sliding_window"):
        layer.sliding_window = layer.size + spare


def layer_of(cache: Any, layer: int) -> Any:
    """The cache of ``layer``, which some caches make at their first update only; or ``None``."""
    layers = getattr(cache, "layers", None)
    made = getattr(cache, "layer_class_to_replicate", None)
    if isinstance(layers, list) and len(layers) == layer and made is not None:
        layers.append(made())
    return layers[layer] if layers and layer < len(layers) else None


def shown_columns(cache: Any, layer: int, given: int) -> int:
    """How many of the ``given`` columns of ``layer`` its attention is handed: always the last ones.

    A sliding cache throws the others away, or keeps them for a crop only.
    """
    found: Any = layer_of(cache, layer) if given else None
    if not getattr(found, "is_sliding", False):
        return given
    return int(min(found.keys.shape[-2], found.sliding_window - 1))


def count_by_place(cache: Any, layer: int, size: int, *, spare: int, dropped: int) -> None:
    """Tell the cache of ``layer``, which is about to be updated, that its window counts places.

    Args:
        cache: the cache, or ``None``.
        layer: the layer.
        size: its window.
        spare: how many columns more it must hold from now on, for those that are not in view
            although they are the last ones.
        dropped: columns of the sequence that it was never given, these new ones counted.

    Raises:
        InstrumentError: the cache is not made of layers.
    """
    if cache is None:
        return
    found = layer_of(cache, layer)
    if not hasattr(found, "served"):
        kind: Any = type(found)
        try:
            found.__class__ = _by_place(kind)
        except (AttributeError, TypeError):
            raise InstrumentError(
                f"layer {layer} of a {type(cache).__name__} cannot be told that its sliding window "
                "counts dropped tokens",
                hint="generate with the default dynamic cache",
            ) from None
    found.size, found.dropped, found.served = size, dropped, True
    given = columns_given(found)
    if spare or not given:
        keep(found, spare + (found.spare if given else 0))
