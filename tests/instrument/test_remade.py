"""What layers of other columns are handed, on caches that are filled by hand: no model runs.

Masks are those of the eager attention: numbers that are added, 0 where a column is seen.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicSlidingWindowLayer

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import CachedColumns
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.here import Reader
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.numbering import Numbering
from v2drop_cli.instrument.remade import remade
from v2drop_cli.tensors import pack

WIDTH, SIZE, LAYER = 6, 2, 1
CONFIG = SimpleNamespace(_attn_implementation="eager")
FAMILY = SimpleNamespace(blocks_in_windows=True)


def reader_of(**call):
    return Reader(LayerCall(CONFIG, "past_key_values", **call), frozenset(), FAMILY, None, ())


def windowed(size=4, **call):
    """All layers have a window of four columns."""
    return reader_of(windows=(size,) * 4, **call)


def forward_of(*columns, padding=None, width=WIDTH, **more):
    """A forward of six columns, of which vision tokens are 1 and 2; these are left, if told."""
    packed = pack([torch.tensor(row) for row in columns]) if columns else None
    padding = None if padding is None else torch.tensor(padding, dtype=torch.bool)
    vision = (torch.tensor([1, 2]),) * max(1, len(columns))
    return Forward(vision, padding, width, columns=packed, **more)


def handed(cache=None, width=WIDTH, first=0, **more):
    """What a decoder hands its layers; the rotary tables hold the numbers of the columns."""
    numbers = torch.arange(first, first + width)
    cos = numbers.float()[None, :, None].expand(1, width, SIZE)
    return {
        "past_key_values": cache,
        "attention_mask": "the decoder's own",
        "position_ids": numbers[None],
        "position_embeddings": (cos, cos / 2),
        **more,
    }


def fill(cache, layer, width, rows=1):
    keys = torch.zeros(rows, 1, width, SIZE)
    cache.update(keys, keys, layer)


def cache_of(sequence, *held, rows=1, window=None):
    """Layer 0 holds ``sequence`` columns, the others as many as told; all may have a window."""
    cache = DynamicCache()
    if window is not None:
        cache = Cache(layers=[DynamicSlidingWindowLayer(sliding_window=window) for _ in range(3)])
    for layer, length in enumerate((sequence, *held)):
        fill(cache, layer, length, rows)
    return cache


def known(length, *, sequence=10, fixed=0, **more):
    valid = more.pop("valid", None)
    valid = None if valid is None else torch.tensor(valid, dtype=torch.bool)
    return CachedColumns(length, valid, torch.tensor(fixed), sequence, **more)


def hidden(width, rows=1):
    return torch.zeros(rows, width, SIZE)


def sees(found, row=0):
    """Which columns each query of a row sees."""
    return (found["attention_mask"][row, 0] == 0).int().tolist()


def turned_by(found):
    """The numbers in the rotary tables, row by row."""
    cos, sin = found["position_embeddings"]
    assert torch.equal(sin, cos / 2)
    return cos[..., 0].tolist()


def noted(reader, cache, width, layer=LAYER, rows=1):
    """What was noted of a layer, once its cache has the new columns."""
    fill(cache, layer, width, rows)
    return reader.book.known(cache, layer)


# A prompt ------------------------------------------------------------------------------------


def test_a_layer_of_a_shortened_prompt_is_handed_what_belongs_to_its_columns():
    given = handed(other="as it was")
    found = remade(reader_of(), forward_of([0, 2, 5]), LAYER, hidden(3), given, None)
    assert turned_by(found) == [[0, 2, 5]]
    assert sees(found) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert (found["position_ids"], found["other"]) == (None, "as it was")
    assert given["attention_mask"] == "the decoder's own"  # which other layers still get


def test_filler_is_seen_by_nobody():
    forward = forward_of([0, 2, 5], [4, 5])
    found = remade(reader_of(), forward, LAYER, hidden(3, 2), handed(), None)
    assert turned_by(found) == [[0, 2, 5], [4, 5, 5]]
    assert sees(found, 0) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert sees(found, 1) == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]


def test_inputs_of_each_token_are_those_of_the_tokens_that_are_left():
    inputs = torch.arange(6.0)[None, :, None]
    given = handed(per_layer_input=inputs)
    found = remade(reader_of(), forward_of([0, 2, 5]), LAYER, hidden(3), given, None)
    assert found["per_layer_input"][0, :, 0].tolist() == [0, 2, 5]
    given = handed(per_layer_input=None)
    found = remade(reader_of(), forward_of([0, 2, 5]), LAYER, hidden(3), given, None)
    assert found["per_layer_input"] is None
    cache = cache_of(11, 7)
    given = handed(cache, 1, per_layer_input=inputs)
    found = remade(reader_of(), forward_of(width=1), LAYER, hidden(1), given, known(7))
    assert found["per_layer_input"] is inputs  # text of a later turn is whole


def test_tables_of_all_columns_are_gathered_from_all_places():
    """Those of the cached columns among them: an index turns its keys anew each time."""
    reader, cache = reader_of(whole_tables=True), cache_of(8, 3)
    first = remade(reader, forward_of([0, 2, 5]), LAYER, hidden(3), handed(), None)
    assert turned_by(first) == [[0, 2, 5]]
    before = known(3, sequence=6, places=torch.tensor([[0, 2, 5]]))
    given = handed(cache, 8)  # two tokens more
    found = remade(reader, forward_of(width=2), LAYER, hidden(2), given, before)
    assert turned_by(found) == [[0, 2, 5, 6, 7]]
    assert noted(reader, cache, 2).places.tolist() == [[0, 2, 5, 6, 7]]


def test_a_layer_that_makes_its_own_mask_is_told_which_of_its_new_columns_are_filler():
    reader = reader_of(own_masks=True)
    found = remade(reader, forward_of([0, 2, 5]), LAYER, hidden(3), handed(), None)
    assert found["attention_mask"].tolist() == [[True] * 3]
    found = remade(reader, forward_of([0, 2, 5], [4, 5]), LAYER, hidden(3, 2), handed(), None)
    assert found["attention_mask"].tolist() == [[True] * 3, [True, True, False]]
    given = handed(cache_of(8, 3), 2)
    found = remade(reader, forward_of(width=2), LAYER, hidden(2), given, known(3, sequence=6))
    assert found["attention_mask"] == "the decoder's own"  # of a later turn's text


def test_filler_between_two_turns_is_refused_where_an_index_would_pool_it():
    reader, given = reader_of(own_masks=True), handed(cache_of(12, 4, rows=2))
    held = known(4, valid=[[True] * 4] * 2)
    with pytest.raises(InstrumentError, match="pools neighbouring"):
        remade(reader, forward_of([0, 2, 5], [4, 5]), LAYER, hidden(3, 2), given, held)
    remade(reader, forward_of([0, 2, 5], [3, 4, 5]), LAYER, hidden(3, 2), given, held)


def test_a_layer_without_rotary_tables_is_handed_none():
    reader = reader_of(without_rotary=True)
    given = handed(position_embeddings=None)
    found = remade(reader, forward_of([0, 2, 5]), LAYER, hidden(3), given, None)
    assert found["position_embeddings"] is None


def test_a_decoder_that_scales_queries_is_told_the_positions_of_what_is_left():
    reader = reader_of(scaled_from=100)
    found = remade(reader, forward_of([0, 2, 5]), LAYER, hidden(3), handed(), None)
    assert found["position_ids"].tolist() == [[0, 2, 5]]


def test_columns_of_one_block_see_each_other_where_the_family_says_so():
    blocks = torch.tensor([[-1, 0, 0, 0, -1, -1]])
    both = [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    one = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    forward = forward_of([0, 1, 3, 5], blocks=blocks)
    everywhere = replace(reader_of(), family=SimpleNamespace(blocks_in_windows=False))
    for reader, wanted in ((everywhere, both), (reader_of(), one), (windowed(100), both)):
        forward.ready.clear()
        assert sees(remade(reader, forward, LAYER, hidden(4), handed(), None)) == wanted


# What is noted of the cache ---------------------------------------------------------------------


def test_a_prompt_is_noted_as_what_is_left_of_it():
    reader, cache = reader_of(), cache_of(6)
    forward = forward_of([0, 2, 4, 5], [0, 5])
    remade(reader, forward, LAYER, hidden(4, 2), handed(cache), None)
    found = noted(reader, cache, 4, rows=2)
    assert (found.length, found.sequence) == (4, 6)
    assert found.valid.tolist() == [[True] * 4, [True, True, False, False]]
    assert (int(found.fixed), found.shift, found.places) == (4, None, None)  # filler is fixed too


def test_text_behind_the_last_vision_token_may_be_cropped():
    """Vision tokens were columns 1 and 2: what comes behind them is three columns."""
    reader, cache = reader_of(), cache_of(6)
    remade(reader, forward_of([0, 2, 3, 4, 5]), LAYER, hidden(5), handed(cache), None)
    assert int(noted(reader, cache, 5).fixed) == 2


def test_a_prompt_behind_a_whole_turn():
    """Four columns of an earlier turn, of which nothing was dropped, and six of which four stay."""
    reader, cache = reader_of(), cache_of(10, 4)
    forward = forward_of([0, 3, 4, 5])
    found = remade(reader, forward, LAYER, hidden(4), handed(cache), None)
    assert sees(found)[0] == [1] * 5 + [0] * 3
    after = noted(reader, cache, 4)
    assert (after.length, after.sequence, int(after.fixed)) == (8, 10, 5)


# Later turns ------------------------------------------------------------------------------------


def test_the_next_token_sees_what_its_layer_holds_and_no_filler():
    reader, cache = reader_of(), cache_of(11, 3, rows=2)
    before = known(3, valid=[[1, 1, 1], [1, 1, 0]], fixed=3)
    given = handed(cache, 1, first=10)
    found = remade(reader, forward_of(width=1), LAYER, hidden(1, 2), given, before)
    assert [sees(found, row) for row in (0, 1)] == [[[1, 1, 1, 1]], [[1, 1, 0, 1]]]
    # Its position is its own: the decoder's tables and positions are right.
    assert turned_by(found) == [[10]]
    assert found["position_ids"] is given["position_ids"]
    after = noted(reader, cache, 1, rows=2)
    assert (after.length, after.sequence) == (4, 11)
    assert after.fixed is before.fixed  # what is fixed of a prompt stays so
    assert after.valid.tolist() == [[True] * 4, [True, True, False, True]]


def test_a_cache_that_was_cropped_back_is_seen_as_far_as_it_goes():
    reader, cache = reader_of(), cache_of(10, 3, rows=2)
    before = known(5, valid=[[1, 1, 1, 1, 1], [1, 0, 1, 1, 1]])
    found = remade(reader, forward_of(width=1), LAYER, hidden(1, 2), handed(cache, 1), before)
    assert [sees(found, row) for row in (0, 1)] == [[[1, 1, 1, 1]], [[1, 0, 1, 1]]]


def test_a_picture_of_a_later_turn_is_fixed_behind_what_was():
    reader, cache = reader_of(), cache_of(16, 3)
    before = known(3, fixed=1)
    remade(reader, forward_of([0, 2, 3, 4, 5]), LAYER, hidden(5), handed(cache), before)
    assert int(noted(reader, cache, 5).fixed) == 5  # 3, and 2 of the 5 before its text


@pytest.mark.parametrize(
    ("rows", "width", "seen"),
    [(2, 2, [1, 1, 1, 0, 1]), (2, 1, [1, 1, 1, 1]), (1, 2, [1, 1, 1, 0, 1])],
)
def test_padding_among_new_text_is_seen_by_nobody(rows, width, seen):
    """Of the last row; a row's only new token is none, whatever the rows beside it are."""
    padding = [[1] * 12] * (rows - 1) + [[1] * 10 + [0, 1]]
    cache = cache_of(10 + width, 3, rows=rows)
    forward = forward_of(padding=padding, width=width)
    found = remade(reader_of(), forward, LAYER, hidden(width, rows), handed(cache, width), known(3))
    assert sees(found, rows - 1)[-1] == seen


def test_the_only_new_token_of_an_only_row_needs_no_mask_of_padding():
    reader, cache = reader_of(), cache_of(11, 3)
    forward = forward_of(padding=[[1] * 11], width=1)
    remade(reader, forward, LAYER, hidden(1), handed(cache, 1), known(3))
    assert noted(reader, cache, 1).valid is None


def test_padding_of_a_whole_turn_is_seen_by_nobody():
    cache = cache_of(10, 4, rows=2)
    padding = [[1] * 10, [0, 1, 1, 1, *[1] * 6]]
    forward = forward_of([0, 5], [0, 5], padding=padding)
    found = remade(reader_of(), forward, LAYER, hidden(2, 2), handed(cache), None)
    assert [sees(found, row)[-1] for row in (0, 1)] == [[1] * 6, [0, *[1] * 5]]
    found = remade(reader_of(), forward, LAYER, hidden(2, 2), handed(), None)  # without a cache
    assert sees(found, 1) == [[1, 0], [1, 1]]


# Numbers anew -----------------------------------------------------------------------------------


def numbering():
    def rotary(states, positions):
        cos = positions.float()[..., None].expand(-1, -1, SIZE)
        return cos, cos / 2

    return replace(reader_of(), numbering=Numbering(rotary))


def test_survivors_numbered_anew_and_what_comes_after_them():
    reader, cache = numbering(), cache_of(6)
    forward = forward_of([0, 2, 5], numbers=torch.tensor([[0, 1, 2]]))
    found = remade(reader, forward, LAYER, hidden(3), handed(cache), None)
    assert turned_by(found) == [[0, 1, 2]]
    after = noted(reader, cache, 3)
    assert after.shift.tolist() == [3]
    fill(cache, 0, 1)
    later = forward_of(width=1, shift=after.shift)
    found = remade(reader, later, LAYER, hidden(1), handed(cache, 1, first=6), after)
    assert turned_by(found) == [[3]]
    assert found["position_ids"] is None
    assert noted(reader, cache, 1).shift.tolist() == [3]


# Layers that share ------------------------------------------------------------------------------


def masks(reader, forward, calls):
    """The masks of several layers: number, what is known, and changes of what it is handed."""
    found = []
    for layer, before, more in calls:
        given = handed(cache_of(10, 3, 3, 4), **more)
        found.append(remade(reader, forward, layer, hidden(3), given, before)["attention_mask"])
    return found


def test_layers_of_a_kind_share_one_mask_until_the_next_drop():
    forward = forward_of([0, 2, 5])
    one, same, longer = masks(reader_of(), forward, [(1, None, {}), (2, None, {}), (3, None, {})])
    assert one is same is not longer
    assert (one.shape[-1], longer.shape[-1]) == (6, 7)
    forward.ready.clear()
    [again] = masks(reader_of(), forward, [(1, None, {})])
    assert again is not one


def test_layers_that_differ_share_none():
    """In kind, in what their caches hold, in whether they turn their queries."""
    reader = reader_of(kinds=("a", "a", "b", "a"))
    one, other = masks(reader, forward_of([0, 2, 5]), [(1, None, {}), (2, None, {})])
    assert one is not other
    before = known(3, valid=[[1, 1, 0]])
    same = known(3, valid=[[0, 1, 1]])
    one, other = masks(reader_of(), forward_of([0, 2, 5]), [(1, before, {}), (2, same, {})])
    assert one is not other
    one, other = masks(reader_of(), forward_of([0, 2, 5]), [(1, before, {}), (2, before, {})])
    assert one is other
    reader, bare = reader_of(without_rotary=True), {"position_embeddings": None}
    one, other = masks(reader, forward_of([0, 2, 5]), [(1, None, bare), (2, None, {})])
    assert one is not other


# Windows ----------------------------------------------------------------------------------------


def test_a_window_counts_the_columns_of_the_whole_prompt():
    reader, cache = windowed(), cache_of(6, window=4)
    found = remade(reader, forward_of([0, 2, 4, 5]), LAYER, hidden(4), handed(cache), None)
    assert sees(found) == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]
    after = noted(reader, cache, 4)
    assert after.places.tolist() == [[0, 2, 4, 5]]
    layer = cache.layers[LAYER]
    assert (layer.size, layer.dropped, layer.spare) == (4, 2, 0)


def test_a_window_of_the_whole_sequence_cuts_nothing():
    found = remade(windowed(6), forward_of([0, 2, 4, 5]), LAYER, hidden(4), handed(), None)
    assert sees(found)[-1] == [1, 1, 1, 1]
    found = remade(windowed(5), forward_of([0, 2, 4, 5]), LAYER, hidden(4), handed(), None)
    assert sees(found)[-1] == [0, 1, 1, 1]


def test_a_window_that_cuts_nothing_leaves_the_kernel_its_fast_path():
    for size, free in ((6, True), (5, False)):
        call = replace(windowed(size).call, config=SimpleNamespace(_attn_implementation="sdpa"))
        reader, forward = replace(windowed(), call=call), forward_of([0, 2, 4, 5])
        found = remade(reader, forward, LAYER, hidden(4), handed(), None)
        assert (found["attention_mask"] is None) == free


def test_a_window_reaches_into_the_turn_before():
    """Of four columns before and six now, one of eight shows the last all from column 2 on."""
    cache = cache_of(10, 4, window=8)
    forward = forward_of([0, 3, 4, 5])
    found = remade(windowed(8), forward, LAYER, hidden(4), handed(cache), None)
    assert sees(found)[-1] == [0, 0, 1, 1, 1, 1, 1, 1]


def test_filler_makes_a_window_keep_more():
    """A window of four keeps three columns; here two more, which the shorter row's filler takes."""
    reader, cache = windowed(), cache_of(8, window=4)
    forward = forward_of([0, 2, 3, 5, 6, 7], [4, 5, 6, 7], width=8)
    remade(reader, forward, LAYER, hidden(6, 2), handed(cache, 8), None)
    fill(cache, LAYER, 6, rows=2)
    assert cache.layers[LAYER].keys.shape[-2] == 3 + 2


@pytest.mark.parametrize("places", [[[0, 2, 4, 5]], [[0, 1, 4, 5]]])
def test_later_tokens_see_by_place_what_the_cache_still_shows(places):
    """A window of 5: of 4 columns held all are shown, and column 6 sees places from 2 on."""
    reader, cache = windowed(5), cache_of(6, window=5)
    remade(reader, forward_of([0, 2, 4, 5]), LAYER, hidden(4), handed(cache), None)
    fill(cache, LAYER, 4)
    fill(cache, 0, 1)
    before = known(4, sequence=6, places=torch.tensor(places))
    found = remade(reader, forward_of(width=1), LAYER, hidden(1), handed(cache, 1, 6), before)
    assert sees(found) == [[0, int(places[0][1] == 2), 1, 1, 1]]
    assert noted(reader, cache, 1).places.tolist() == [[*places[0], 6]]


def test_columns_that_a_cache_threw_away_are_in_no_mask():
    """Ten columns were given, of which a window of 4 shows three: the next token sees them all."""
    reader, cache = windowed(), cache_of(12, window=4, rows=2)
    remade(reader, forward_of(*[list(range(10))] * 2, width=12), LAYER, hidden(10, 2),
           handed(cache, 12), None)  # fmt: skip
    fill(cache, LAYER, 10, rows=2)
    fill(cache, 0, 1, rows=2)
    valid = [[1] * 10, [1] * 8 + [0, 1]]
    before = known(10, sequence=12, valid=valid, places=torch.arange(2, 12)[None])
    found = remade(reader, forward_of(width=1), LAYER, hidden(1, 2), handed(cache, 1), before)
    assert [sees(found, row) for row in (0, 1)] == [[[1, 1, 1, 1]], [[1, 0, 1, 1]]]
    layer = cache.layers[LAYER]
    assert (layer.dropped, layer.spare) == (2, 0)
    after = noted(reader, cache, 1, rows=2)
    assert after.places.tolist() == [[*range(2, 13)]] * 2
    assert after.length == 11


def test_a_turn_whose_cache_has_other_rows_is_refused():
    cache = cache_of(11, 3, rows=2)
    before = known(3, places=torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(InstrumentError, match="2 rows, the new tokens 3"):
        remade(windowed(), forward_of(width=1), LAYER, hidden(1, 3), handed(cache, 1), before)


def test_columns_of_one_block_are_cut_by_a_window_or_not():
    blocks = torch.tensor([[0, 0, 0, 0, 0, 0]])
    for cuts, first in ((True, [0, 1, 1]), (False, [1, 1, 1])):
        reader = windowed(3, cuts_blocks=cuts)
        forward = forward_of([0, 4, 5], blocks=blocks)
        assert sees(remade(reader, forward, LAYER, hidden(3), handed(), None))[-1] == first


def test_chunks_are_counted_from_a_rows_first_token():
    """Of four columns: 0 to 3 and 4, 5; behind two of padding 2 to 5."""
    columns, reader = [[2, 3, 4, 5]] * 2, windowed(chunked=True)
    for padding, second in (
        (None, [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]),
        ([[1] * 6, [0, 0, 1, 1, 1, 1]], [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]),
    ):
        forward = forward_of(*columns, padding=padding)
        found = remade(reader, forward, LAYER, hidden(4, 2), handed(), None)
        assert sees(found, 0) == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
        assert sees(found, 1) == second
