"""Caches of layers with a sliding window, one update at a time: no model runs.

That a whole model then gives what it should is in ``test_windows.py``.
"""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.windows import (
    columns_given,
    count_by_place,
    cuts,
    keep,
    layer_of,
    shown_columns,
)

WINDOW = 6


def states(width, first=0):
    """``[1, 2, width, 3]`` keys whose numbers say which column they are."""
    return torch.arange(first, first + width).float()[None, None, :, None].expand(1, 2, width, 3)


def cache_of(*layers):
    return SimpleNamespace(layers=list(layers))


def sliding(given=0):
    layer = DynamicSlidingWindowLayer(sliding_window=WINDOW)
    if given:
        layer.update(states(given), states(given))
    return layer


def counting(layer, size=WINDOW, *, spare=0, dropped=0):
    """``layer``, told that its next columns come with a mask by places."""
    count_by_place(cache_of(layer), 0, size, spare=spare, dropped=dropped)
    return layer


def held(layer):
    return layer.keys[0, 0, :, 0].int().tolist()


# What came into a layer, and what it shows -----------------------------------------------------


def test_columns_that_were_thrown_away_were_given_all_the_same():
    assert columns_given(sliding(8)) == 8
    assert columns_given(sliding()) == 0
    full = DynamicLayer()
    assert columns_given(full) == 0
    full.update(states(8), states(8))
    assert columns_given(full) == 8
    born = SimpleNamespace(is_initialized=False, keys=states(8))  # as transformers 5.17 empties it
    assert columns_given(born) == 0


def test_attention_is_handed_the_last_columns_that_the_window_can_need():
    assert shown_columns(cache_of(sliding(8)), 0, 8) == 5
    assert shown_columns(cache_of(sliding(4)), 0, 4) == 4
    recording = SimpleNamespace(is_sliding=True, keys=states(9), sliding_window=WINDOW)
    assert shown_columns(cache_of(sliding(8), recording), 1, 9) == 5  # kept for a crop only
    assert shown_columns(cache_of(DynamicLayer()), 0, 9) == 9
    assert shown_columns(None, 0, 9) == 9


def test_a_cache_that_was_given_nothing_is_not_looked_into():
    cache = DynamicCache()
    assert shown_columns(cache, 0, 0) == 0
    assert cache.layers == []


def test_a_layer_is_made_when_it_is_the_next_one():
    cache = DynamicCache()
    assert layer_of(cache, 1) is None
    assert cache.layers == []
    first = layer_of(cache, 0)
    assert type(first) is DynamicLayer
    assert layer_of(cache, 0) is first
    second = layer_of(cache, 1)
    assert cache.layers == [first, second]
    assert second is not first


def test_a_cache_whose_layers_are_given_gets_no_more():
    first = DynamicLayer()
    fixed = SimpleNamespace(layers=(first,), layer_class_to_replicate=DynamicLayer)
    assert layer_of(fixed, 0) is first
    assert layer_of(fixed, 1) is None
    assert [layer_of(cache_of(first), layer) for layer in (1, 2)] == [None, None]
    assert layer_of(SimpleNamespace(), 0) is None
    assert layer_of(None, 0) is None


# Counting places --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "new", "dropped", "full"),
    [(0, 50, 0, False), (0, 50, 50, False), (1, 4, 0, False), (1, 5, 0, True), (2, 3, 0, False),
     (2, 1, 2, False), (2, 1, 3, True), (3, 3, 0, True), (4, 9, 9, True)],
)  # fmt: skip
def test_a_window_is_full_once_places_reach_its_size(given, new, dropped, full):
    layer = SimpleNamespace(cumulative_length=given, dropped=dropped, size=WINDOW)
    assert cuts(layer, new) is full


def test_columns_with_a_mask_are_taken_and_later_ones_without_are_refused():
    layer = counting(sliding(), dropped=3)
    keys, values = layer.update(states(4), -states(4))
    assert torch.equal(keys, states(4))
    assert torch.equal(values, -states(4))
    with pytest.raises(InstrumentError, match="would count columns") as caught:
        layer.update(states(1), states(1))
    assert caught.value.hint
    counting(layer, dropped=3).update(states(3, first=4), states(3))
    assert held(layer) == [2, 3, 4, 5, 6]  # and those of the refused update are not among them


def test_until_the_window_is_full_nobody_need_make_a_mask():
    layer = counting(sliding(), dropped=2)
    layer.update(states(2), states(2))
    layer.update(states(1), states(1))  # places 4 of 6
    with pytest.raises(InstrumentError, match="would count columns"):
        layer.update(states(1), states(1))


def test_the_width_of_new_columns_counts():
    layer = counting(sliding())
    layer.update(states(2), states(2))
    layer.update(states(3), states(3))
    other = counting(sliding())
    other.update(states(2), states(2))
    with pytest.raises(InstrumentError, match="would count columns"):
        other.update(states(4), states(4))


def test_layers_that_are_full_count_too_and_throw_nothing_away():
    layer = counting(DynamicLayer(), dropped=5, spare=2)
    layer.update(states(4), states(4))
    assert not hasattr(layer, "sliding_window")
    with pytest.raises(InstrumentError, match="would count columns"):
        layer.update(states(1), states(1))


def test_an_emptied_layer_counts_its_own_columns_alone():
    layer = counting(sliding(), spare=3, dropped=4)
    layer.update(states(8), states(8))
    layer.reset()
    assert (layer.dropped, layer.spare, layer.sliding_window) == (0, 0, WINDOW)
    layer.update(states(2), states(2))
    layer.update(states(3), states(3))
    with pytest.raises(InstrumentError, match="would count columns"):
        layer.update(states(1), states(1))


# Columns kept beyond the window's ----------------------------------------------------------------


def test_a_layer_keeps_as_many_columns_more_as_it_is_told():
    layer = counting(sliding(), spare=2)
    layer.update(states(10), states(10))
    assert held(layer) == [3, 4, 5, 6, 7, 8, 9]  # 5 for the window, and 2
    keep(layer, 1)
    assert (layer.spare, layer.sliding_window) == (1, WINDOW + 1)


def test_what_one_turn_needs_is_needed_in_later_ones():
    layer = counting(sliding(), spare=2)
    layer.update(states(10), states(10))
    counting(layer)
    assert (layer.spare, layer.sliding_window) == (2, WINDOW + 2)
    counting(layer, spare=3)
    assert (layer.spare, layer.sliding_window) == (5, WINDOW + 5)


def test_a_layer_that_holds_nothing_needs_what_comes_now_alone():
    layer = counting(counting(sliding(), spare=2), spare=3)
    assert (layer.spare, layer.sliding_window) == (3, WINDOW + 3)
    assert counting(layer).sliding_window == WINDOW


def test_a_window_that_was_filled_before_any_drop_keeps_more_from_then_on():
    layer = counting(sliding(8), spare=2)
    layer.update(states(4, first=8), states(4))
    assert held(layer) == [5, 6, 7, 8, 9, 10, 11]
    assert counting(sliding(8)).sliding_window == WINDOW


# Which caches -----------------------------------------------------------------------------------


def test_a_layer_stays_of_its_kind_and_all_of_one_kind_are_of_one_class():
    one, other, full = counting(sliding()), counting(sliding(8)), counting(DynamicLayer())
    assert isinstance(one, DynamicSlidingWindowLayer)
    assert type(one).__name__ == "DynamicSlidingWindowLayer"
    assert type(one) is type(other) is not type(full)
    assert type(counting(one)) is type(other)  # it is told once


def test_copies_and_pickles_are_what_the_layer_is():
    layer = counting(sliding(), spare=2, dropped=3)
    layer.update(states(9), states(9))
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(made) is type(layer)
        assert held(made) == held(layer)
        assert (made.size, made.spare, made.dropped, made.served) == (WINDOW, 2, 3, False)


def test_without_a_cache_nobody_is_told():
    count_by_place(None, 0, WINDOW, spare=1, dropped=1)


class Odd:
    """A layer whose class cannot be exchanged."""

    __slots__ = ("keys",)


@pytest.mark.parametrize("cache", [cache_of(Odd()), cache_of(5), SimpleNamespace(), "no cache"])
def test_a_cache_that_cannot_be_told_is_refused(cache):
    with pytest.raises(InstrumentError, match=f"layer 0 of a {type(cache).__name__}") as caught:
        count_by_place(cache, 0, WINDOW, spare=0, dropped=1)
    assert caught.value.hint
