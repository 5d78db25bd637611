"""What is known of each layer's cache, on caches that hold nothing but lengths."""

from __future__ import annotations

import gc
from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import (
    CacheBook,
    CachedColumns,
    cached_length,
    join_valid,
    refuse_static,
    sequence_length,
)


class Cache:
    """As much of a KV cache as is asked: a length for each layer."""

    def __init__(self, *lengths, compileable=None):
        self.lengths = list(lengths)
        if compileable is not None:
            self.is_compileable = compileable

    def get_seq_length(self, layer=0):
        return self.lengths[layer]


def known(length, fixed=0, valid=None, sequence=10):
    return CachedColumns(length, valid, torch.tensor(fixed), sequence)


def test_the_length_of_each_layer():
    cache = Cache(10, 7)
    assert [cached_length(cache, layer) for layer in (0, 1)] == [10, 7]
    assert sequence_length(cache) == 10
    assert (cached_length(None, 1), sequence_length(None)) == (0, 0)


# Cropping -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "allowed"), [(8, True), (7, True), (5, True), (4, False), (0, False)]
)
def test_a_crop_may_reach_the_dropped_prompt_and_not_into_it(length, allowed):
    columns = known(8, fixed=5)
    if allowed:
        assert columns.cut(length) is None
        return
    with pytest.raises(InstrumentError) as caught:
        columns.cut(length)
    assert caught.value.hint


def test_a_whole_cache_was_not_cropped_whatever_was_dropped():
    assert known(3, fixed=5).cut(3) is None


def test_a_crop_takes_the_same_columns_off_what_is_valid():
    valid = torch.tensor([[True, False, True], [True, True, True]])
    columns = known(3, fixed=2, valid=valid)
    assert columns.cut(2).tolist() == [[True, False], [True, True]]
    assert columns.cut(3).tolist() == valid.tolist()
    with pytest.raises(FrozenInstanceError):
        columns.length = 2


def test_a_shift_is_of_as_many_rows_or_of_one_that_was_repeated():
    of_two = CachedColumns(7, None, torch.tensor(0), 10, torch.tensor([3, 4]))
    assert of_two.shift_of(2).tolist() == [3, 4]
    with pytest.raises(InstrumentError, match="2 rows, the new tokens 4"):
        of_two.shift_of(4)
    assert CachedColumns(7, None, torch.tensor(0), 10, torch.tensor([3])).shift_of(4).tolist() == [
        3
    ]
    assert known(7).shift_of(4) is None


# The book -------------------------------------------------------------------------------------


def test_a_layer_that_was_shortened_is_known_as_long_as_its_cache_lives():
    book, cache, page = CacheBook(), Cache(10, 7), known(7)
    book.remember(cache, 1, page)
    assert book.shortened(cache, 1, 10) is page
    later = known(8, sequence=11)
    book.remember(cache, 1, later)
    assert book.shortened(cache, 1, 10) is later
    assert book.shortened(None, 1, 10) is None
    book.remember(None, 1, page)  # nothing to remember it by
    del cache
    gc.collect()
    assert len(book._pages) == 0


def test_layers_are_known_each_by_itself():
    book, cache = CacheBook(), Cache(10, 7, 5)
    book.remember(cache, 1, known(7))
    book.remember(cache, 2, known(5))
    assert (book.shortened(cache, 1, 10).length, book.shortened(cache, 2, 10).length) == (7, 5)


@pytest.mark.parametrize(
    ("held", "whole", "fits"),
    [
        (7, 10, True),
        (6, 9, True),
        (1, 4, True),
        (7, 9, False),
        (6, 10, False),
        (7, 11, False),
        (8, 11, False),
        (8, 10, False),
        (10, 10, False),
    ],
)
def test_a_known_layer_may_have_been_cropped_like_the_others_and_not_filled(held, whole, fits):
    book, cache = CacheBook(), Cache(whole, held)
    page = known(7)
    book.remember(cache, 1, page)
    if fits:
        assert book.shortened(cache, 1, whole) is page
        return
    with pytest.raises(InstrumentError, match="outside this dropping"):
        book.shortened(cache, 1, whole)


def test_an_emptied_cache_starts_over():
    book, cache = CacheBook(), Cache(0, 0)
    book.remember(cache, 1, known(7))
    assert book.known(cache, 1) is None
    assert book.shortened(cache, 1, 0) is None
    cache.lengths = [4, 4]  # filled again, by a prompt without pictures
    assert book.shortened(cache, 1, 4) is None


@pytest.mark.parametrize("held", [9, 11])
def test_a_layer_of_another_length_that_nobody_knows_is_refused(held):
    with pytest.raises(InstrumentError, match="outside this dropping"):
        CacheBook().shortened(Cache(10, held), 1, 10)
    assert CacheBook().shortened(Cache(10, held, compileable=True), 1, 10) is None
    with pytest.raises(InstrumentError):
        CacheBook().shortened(Cache(10, held, compileable=False), 1, 10)


def test_a_layer_that_holds_the_whole_sequence_needs_no_page():
    assert CacheBook().shortened(Cache(10, 10), 1, 10) is None


def test_layers_that_never_drop_hold_the_whole_sequence():
    book = CacheBook()
    book.check(Cache(10, 7, 10), [0, 2])
    book.check(Cache(*map(int, ["1000", "1000"])), [0, 1])  # equal, and not one object
    assert book.shortened(Cache(*map(int, ["1000", "1000"])), 1, 1000) is None
    book.check(None, [0])
    book.check(Cache(10, 7, compileable=True), [1])
    for held in (9, 11):
        with pytest.raises(InstrumentError, match="outside this dropping"):
            book.check(Cache(10, 10, held), [0, 1, 2])
    with pytest.raises(InstrumentError):
        book.check(Cache(10, 7, compileable=False), [1])


def test_a_cache_of_one_length_is_refused_by_its_name():
    with pytest.raises(InstrumentError, match="Cache has one length") as caught:
        refuse_static(Cache(0, compileable=True))
    assert caught.value.hint
    for fine in (Cache(0), Cache(0, compileable=False), None):
        refuse_static(fine)


# Validity -------------------------------------------------------------------------------------

HIDDEN = torch.zeros(2, 3, 8)
SOME = torch.tensor([[True, False], [True, True]])


def test_validity_of_cached_and_new_columns_together():
    assert join_valid(None, 2, None, HIDDEN) is None
    found = join_valid(SOME, 2, None, HIDDEN)
    assert found.dtype == torch.bool
    assert found.int().tolist() == [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    new = torch.tensor([[True, True, False], [True, True, True]])
    assert join_valid(None, 2, new, HIDDEN).int().tolist() == [[1, 1, 1, 1, 0], [1] * 5]
    assert join_valid(SOME, 2, new, HIDDEN).int().tolist() == [[1, 0, 1, 1, 0], [1] * 5]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_cache_of_other_rows_is_refused(rows):
    with pytest.raises(InstrumentError, match=f"has {rows} rows, the new tokens 2"):
        join_valid(torch.ones(rows, 2, dtype=torch.bool), 2, None, HIDDEN)
