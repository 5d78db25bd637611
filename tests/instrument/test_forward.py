"""The bookkeeping of one forward, on columns that can be counted by hand."""

from __future__ import annotations

import pytest
import torch

from v2drop_cli.instrument.forward import (
    Forward,
    as_padding,
    compose,
    counted_after,
    text_after,
)
from v2drop_cli.tensors import Columns, pack


def columns(*rows):
    return pack([torch.tensor(row, dtype=torch.long) for row in rows])


def rows(*positions):
    return tuple(torch.tensor(row, dtype=torch.long) for row in positions)


def padded(*bits):
    return torch.tensor(bits, dtype=torch.bool)


# Padding --------------------------------------------------------------------------------------


def test_only_a_mask_of_two_dimensions_is_padding():
    found = as_padding(torch.tensor([[0, 1, 1]]))
    assert found.dtype == torch.bool
    assert found.tolist() == [[False, True, True]]
    for other in (None, torch.ones(1, 1, 2, 2), torch.ones(3), {"full_attention": None}):
        assert as_padding(other) is None


# The text behind the vision tokens -----------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "vision", "padding", "after"),
    [
        (6, rows([1, 2]), None, 3),
        (6, rows([1, 5]), None, 0),
        (6, rows([1, 2], [3]), None, 2),  # as many as the row with the least
        (6, rows([0], []), None, 5),
        (6, rows([1, 2], []), padded([1] * 6, [0, 1, 1, 1, 1, 1]), 0),  # whose padding is in it
        (6, rows([1, 2], []), None, 3),  # a row without vision is all text
        (6, rows([1, 2]), padded([1, 1, 1, 1, 1, 1]), 3),
        (6, rows([1, 2]), padded([0, 1, 1, 1, 1, 1]), 3),  # padding before it does no harm
        (6, rows([1, 2]), padded([1, 1, 1, 1, 1, 0]), 0),
        (6, rows([1, 2]), padded([1, 1, 1, 0, 1, 1]), 0),
        (6, rows([1, 2]), padded([1, 1, 0, 1, 1, 1]), 3),  # nor does a hole at the last of it
        (3, rows([1]), padded([0, 0, 1, 1, 1]), 1),  # the mask has cached columns before
        (3, rows([1]), padded([1, 1, 1, 1, 0]), 0),
    ],
)
def test_text_after_the_last_vision_token(width, vision, padding, after):
    forward = Forward(vision=vision, width=width, padding=padding)
    forward.columns = columns(*[[0]] * len(vision))
    found = text_after(forward)
    assert (found.dim(), int(found)) == (0, after)


@pytest.mark.parametrize(
    ("width", "vision", "padding", "after"),
    [
        (6, rows([1, 2]), None, (3,)),
        (6, rows([1, 5], [0], []), None, (0, 5, 6)),  # a row without vision is all text
        (6, rows([1, 2], [1, 3]), padded([1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1]), (1, 2)),
        (6, rows([1, 2]), padded([1, 1, 1, 0, 1, 1]), (2,)),
        (3, rows([1]), padded([1, 1, 1, 1, 0]), (0,)),  # the mask has cached columns before
        (6, (), None, ()),
    ],
)
def test_text_after_the_last_vision_token_of_every_row(width, vision, padding, after):
    assert counted_after(Forward(vision=vision, width=width, padding=padding)) == after


def test_filler_cannot_be_told_from_text():
    forward = Forward(vision=rows([1], [1]), width=4)
    forward.columns = columns([0, 1, 2], [0, 1])
    assert int(text_after(forward)) == 0


# Columns of columns ---------------------------------------------------------------------------


def test_columns_of_a_shortened_input_are_columns_of_this_forward():
    first = columns([0, 2, 4, 5], [1, 2, 3, 5])
    again = columns([0, 3], [1, 2])
    found = compose(first, again)
    assert found.index.tolist() == [[0, 5], [2, 3]]
    assert (found.valid, found.lengths) == (None, (2, 2))
    assert compose(None, again) is again


def test_filler_stays_filler():
    found = compose(columns([0, 2, 4], [1, 2, 3]), columns([0, 2], [1]))
    assert found.index.tolist() == [[0, 4], [2, 2]]
    assert found.valid.tolist() == [[True, True], [True, False]]
    assert found.lengths == (2, 1)


def test_blocks_follow_the_columns_that_are_alive():
    forward = Forward(width=4)
    assert forward.alive_blocks() is None
    forward.columns = columns([0, 3])
    assert forward.alive_blocks() is None
    forward.blocks = torch.tensor([[-1, 0, 0, 7]])
    assert forward.alive_blocks().tolist() == [[-1, 7]]
    forward.columns = None
    assert forward.alive_blocks() is forward.blocks


# Devices --------------------------------------------------------------------------------------

ELSEWHERE = torch.device("meta")


def test_everything_moves_with_the_hidden_states():
    forward = Forward(
        vision=rows([1]), padding=padded([1, 1]), blocks=torch.tensor([[0, 0]]), width=2
    )
    forward.alive, forward.columns, forward.ready = list(rows([1])), columns([0, 1]), {1: {}}
    forward.move(ELSEWHERE)
    moved = (*forward.vision, *forward.alive, forward.padding, forward.blocks)
    assert {tensor.device for tensor in (*moved, forward.columns.index)} == {ELSEWHERE}
    assert forward.ready == {}


def test_nothing_moves_that_is_there_already():
    forward = Forward(vision=rows([1]), width=2)
    forward.alive, forward.columns, forward.ready = list(rows([1])), columns([0, 1]), {1: {}}
    before = forward.columns
    forward.move(torch.device("cpu"))
    assert forward.columns is before
    assert forward.ready == {1: {}}
    forward.columns = None
    forward.move(ELSEWHERE)
    assert forward.columns is None
    assert forward.vision[0].device == ELSEWHERE


def test_without_vision_only_the_mask_moves():
    forward = Forward(padding=padded([1, 1]))
    forward.move(ELSEWHERE)
    assert forward.padding.device == ELSEWHERE
    Forward().move(ELSEWHERE)


def test_forwards_share_nothing():
    one, other = Forward(), Forward()
    one.alive.append(torch.zeros(1))
    one.ready[0] = {}
    assert (other.alive, other.ready) == ([], {})
    assert (one.width, one.foreign_mask) == (0, False)
    assert isinstance(compose(None, columns([0])), Columns)
