"""What attention would be made from at a drop, on layers and caches made by hand: no model runs.

What a row may attend to, and positions of columns, are in ``test_row_signals.py``.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import DynamicCache

from v2drop_cli.instrument.cache import CachedColumns
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.here import Here, Reader
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.numbering import Numbering
from v2drop_cli.tensors import pack

WIDTH, SIZE, DROP = 6, 2, 2
CONFIG = SimpleNamespace(head_dim=SIZE)
LAYERS = [nn.Linear(1, 1) for _ in range(4)]
TWO_WAY_EVERYWHERE = SimpleNamespace(blocks_in_windows=False)
TWO_WAY_IN_WINDOWS = SimpleNamespace(blocks_in_windows=True)


def tables(*numbers):
    """Rotary tables ``[B, W, 2]`` whose cosines are the given numbers, and sines half of them."""
    cos = torch.tensor(numbers).float()[..., None].expand(-1, -1, SIZE)
    return cos, cos / 2


def handed(*numbers):
    return {"position_embeddings": tables(*(numbers or [range(WIDTH)]))}


def forward_of(*columns, rows=1, **more):
    """A forward of six columns of ``rows`` rows; of each row these columns are left, if any."""
    vision = tuple(torch.tensor([1, 2]) for _ in range(rows))
    packed = pack([torch.tensor(row) for row in columns]) if columns else None
    return Forward(vision, width=WIDTH, lengths=(WIDTH,) * rows, columns=packed, **more)


def here_of(forward, row=0, cache=None, kwargs=None, family=TWO_WAY_IN_WINDOWS, **call):
    reader = Reader(LayerCall(CONFIG, **call), frozenset(), family, None, LAYERS)
    return Here(reader, forward, row, DROP, kwargs or handed(), cache)


def states(width=WIDTH):
    return torch.arange(width).float()[:, None]


def cache_of(*lengths, rows=1):
    """A cache of one head, each key of which is 100 times its row and the number of its column."""
    cache = DynamicCache()
    for layer, length in enumerate(lengths):
        keys = torch.arange(length).float() + 100 * torch.arange(rows)[:, None]
        keys = keys[:, None, :, None].expand(rows, 1, length, SIZE)
        cache.update(keys, keys, layer)
    return cache


def cosines(found):
    cos, sin = found.rope
    assert torch.equal(sin, cos / 2)
    return cos[:, 0].tolist()


def keys(found):
    return None if found.past is None else found.past[0, :, 0].tolist()


# The columns of this forward -----------------------------------------------------------------


def test_before_any_drop_it_is_what_the_decoder_has():
    given = states()
    found = here_of(forward_of()).attended(DROP, given)
    assert found.module is LAYERS[DROP]
    assert found.states is given
    assert cosines(found) == [0, 1, 2, 3, 4, 5]
    assert (found.past, found.valid, found.blocks, found.view) == (None, None, None, None)


def test_after_a_drop_it_is_what_is_left_of_the_row():
    forward = forward_of([0, 1, 4, 5], [0, 2, 5], rows=2)
    one, other = (here_of(forward, row).attended(DROP, states(4)) for row in (0, 1))
    assert cosines(one) == [0, 1, 4, 5]
    assert cosines(other) == [0, 2, 5, 5]
    assert one.valid.tolist() == [True] * 4
    assert other.valid.tolist() == [True] * 3 + [False]


def test_each_row_may_have_tables_of_its_own():
    kwargs = handed(range(WIDTH), range(10, 10 + WIDTH))
    found = here_of(forward_of(rows=2), 1, kwargs=kwargs).attended(DROP, states())
    assert cosines(found) == [10, 11, 12, 13, 14, 15]


def test_the_layer_before_may_have_been_handed_other_tables():
    """Layers of another kind have other rotary tables."""
    forward = forward_of()
    assert cosines(here_of(forward).attended(DROP - 1, states())) == [0, 1, 2, 3, 4, 5]
    forward.handed_before = handed(range(20, 20 + WIDTH))
    here = here_of(forward)
    assert cosines(here.attended(DROP - 1, states())) == [20, 21, 22, 23, 24, 25]
    assert cosines(here.attended(DROP, states())) == [0, 1, 2, 3, 4, 5]


def test_a_layer_without_rotary_tables_turns_nothing():
    found = here_of(forward_of(), kwargs={"x": 1}, without_rotary=True).attended(DROP, states())
    cos, sin = found.rope
    assert torch.equal(cos, torch.ones(WIDTH, SIZE))
    assert torch.equal(sin, torch.zeros(WIDTH, SIZE))


def test_columns_back_to_front():
    """Where filler lies on the left, a row's first column is not the first of the batch."""
    forward = Forward((torch.tensor([1]),) * 2, width=WIDTH)
    forward.columns = pack([torch.tensor([0, 1, 4, 5]), torch.tensor([2, 5])], left=True)
    assert here_of(forward, 1).alive(torch.tensor([5, 2])).tolist() == [3, 2]
    assert here_of(forward, 0).alive(torch.tensor([5, 0])).tolist() == [3, 0]


# Earlier turns -------------------------------------------------------------------------------


def test_keys_of_earlier_turns_are_the_rows_own():
    here = here_of(forward_of(rows=2), 1, cache_of(3, 3, 3, rows=2))
    assert keys(here.attended(DROP, states())) == [100, 101, 102]


def test_a_layer_before_the_drop_holds_this_forward_too():
    here = here_of(forward_of(), cache=cache_of(9, 9, 3))
    assert keys(here.attended(DROP - 1, states())) == [0, 1, 2]
    assert keys(here.attended(DROP, states())) == [0, 1, 2]
    assert keys(here_of(forward_of()).attended(DROP - 1, states())) is None  # without a cache


def numbered(forward, cache, **noted):
    """The row of a method that renumbers: tables are made of the positions that are asked for."""
    kwargs = {**handed(), "position_ids": torch.arange(3, 9)[None]}
    here = here_of(forward, cache=cache, kwargs=kwargs)

    def rotary(hidden, positions):
        return tables(*positions.tolist())

    here = replace(here, reader=replace(here.reader, numbering=Numbering(rotary)))
    for name, shift in noted.items():
        columns = CachedColumns(3, None, torch.tensor(0), 3, torch.tensor([shift]))
        here.reader.book.remember(cache, int(name.removeprefix("layer")), columns)
    return here


def test_numbers_go_on_from_what_an_earlier_turn_left():
    """The drop's layer goes by what its cache says: the shift of the layer before is another."""
    forward, cache = forward_of(), cache_of(9, 9, 3)
    forward.shift = torch.tensor([1])
    here = numbered(forward, cache, layer2=2)
    assert cosines(here.attended(DROP, states())) == [1, 2, 3, 4, 5, 6]
    assert cosines(here.attended(DROP - 1, states())) == [2, 3, 4, 5, 6, 7]
    unknown = numbered(forward, cache_of(9, 9, 3))
    assert cosines(unknown.attended(DROP, states())) == [0, 1, 2, 3, 4, 5]


# Columns that attend in both directions ---------------------------------------------------------

BLOCKS = torch.tensor([[0, 0, -1, -1, -1, -1], [-1, 1, 1, 1, -1, -1]])


def test_blocks_are_the_rows_own_and_follow_its_columns():
    found = here_of(forward_of(rows=2, blocks=BLOCKS), 1).attended(DROP, states())
    assert found.blocks is None  # which only layers with windows have, in this family
    here = here_of(forward_of(rows=2, blocks=BLOCKS), 1, family=TWO_WAY_EVERYWHERE)
    assert here.attended(DROP, states()).blocks.tolist() == [-1, 1, 1, 1, -1, -1]
    short = forward_of([0, 1, 4], [1, 3, 5], rows=2, blocks=BLOCKS)
    here = here_of(short, 1, family=TWO_WAY_EVERYWHERE)
    assert here.attended(DROP, states(3)).blocks.tolist() == [1, 1, -1]


@pytest.mark.parametrize(
    ("family", "window", "answer"),
    [(TWO_WAY_IN_WINDOWS, None, False), (TWO_WAY_IN_WINDOWS, 4, True),
     (TWO_WAY_EVERYWHERE, None, True), (TWO_WAY_EVERYWHERE, 4, True)],
)  # fmt: skip
def test_which_layers_have_blocks(family, window, answer):
    assert Reader(None, frozenset(), family, None, ()).in_blocks(window) is answer


# Windows ----------------------------------------------------------------------------------------


def windowed(forward, size, cache=None, row=0, cuts_blocks=True):
    windows = (None, size, size, None)
    return here_of(forward, row, cache, windows=windows, cuts_blocks=cuts_blocks)


def test_a_window_that_cuts_nothing_is_none():
    assert windowed(forward_of(), WIDTH).attended(DROP, states()).view is None
    cache = cache_of(9, 9, 3)
    assert windowed(forward_of(), 9, cache).attended(DROP, states()).view is None
    assert here_of(forward_of(), cache=cache).attended(DROP, states()).view is None


@pytest.mark.parametrize("cuts_blocks", [True, False])
def test_places_are_those_of_the_whole_sequence(cuts_blocks):
    view = windowed(forward_of(), 5, cuts_blocks=cuts_blocks).attended(DROP, states()).view
    assert (view.size, view.cuts_blocks, view.starts) == (5, cuts_blocks, None)
    assert view.places.tolist() == [[0, 1, 2, 3, 4, 5]]
    forward = forward_of([0, 1, 4, 5], [0, 2, 5], rows=2)
    for row, places in ((0, [0, 1, 4, 5]), (1, [0, 2, 5, 5])):
        view = windowed(forward, 5, row=row).attended(DROP, states(4)).view
        assert view.places.tolist() == [places]


def test_places_go_on_from_an_earlier_turn():
    """Three columns of it are held, which were 0, 1 and 3 of four: what comes now begins at 4."""
    cache = cache_of(10, 10, 3)
    here = windowed(forward_of(), 9, cache)
    assert here.attended(DROP, states()).view.places.tolist() == [[0, 1, 2, 4, 5, 6, 7, 8, 9]]
    places = torch.tensor([[0, 1, 3]])
    columns = CachedColumns(3, None, torch.tensor(0), 4, places=places)
    here.reader.book.remember(cache, DROP, columns)
    assert here.attended(DROP, states()).view.places.tolist() == [[0, 1, 3, 4, 5, 6, 7, 8, 9]]


def test_places_of_an_earlier_turn_are_the_rows_own():
    cache = cache_of(10, 10, 3, rows=2)
    here = windowed(forward_of(rows=2), 9, cache, row=1)
    places = torch.tensor([[0, 1, 3], [0, 2, 3]])
    columns = CachedColumns(3, None, torch.tensor(0), 4, places=places)
    here.reader.book.remember(cache, DROP, columns)
    assert here.attended(DROP, states()).view.places.tolist() == [[0, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_they_are_values():
    here = here_of(forward_of())
    for value, name in ((here, "row"), (here.reader, "needs")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
