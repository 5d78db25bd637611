"""What is left of a choice that a layer hands on, in the columns of the next: no model runs."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.instrument.handed_choice import Counted, handed_on


def counted(*places, valid=None, sequence=6):
    valid = None if valid is None else torch.tensor(valid, dtype=torch.bool)
    return Counted(torch.tensor(places), valid, sequence)


def left_of(choice, now, width, before=None):
    """What each query of each row may attend to, in order and without repetition."""
    before = None if before is None else torch.tensor(before)
    handed = torch.tensor(choice, dtype=torch.int32)
    found = handed_on(handed, before, now, width)
    assert (found.dtype, found.shape[-1]) == (torch.int32, handed.shape[-1])
    return [[sorted(set(query)) for query in row] for row in found.tolist()]


# Of six columns, what each of them chose.
CHOSEN = [[[0, 0], [0, 1], [0, 2], [1, 3], [2, 4], [0, 3]]]


def test_what_is_left_is_counted_in_the_columns_that_are_left():
    assert left_of(CHOSEN, counted([0, 1, 3, 5]), 4) == [[[0], [0, 1], [1, 2], [0, 2]]]


def test_a_token_of_whose_choice_nothing_is_left_attends_to_itself():
    assert left_of(CHOSEN, counted([0, 1, 4, 5]), 4) == [[[0], [0, 1], [2], [0]]]
    assert left_of([[[2, 3]]], counted([0, 1, 4, 5]), 1) == [[[3]]]


@pytest.mark.parametrize("valid", [None, [[True] * 4]])
def test_columns_that_a_token_cannot_see_do_not_stand_for_those_that_are_gone(valid):
    """There were too few to choose from, so that later ones fill the choice up."""
    now = counted([0, 1, 4, 5], valid=valid)
    (query,) = left_of([[[3, 4, 5]] * 6], now, 4)
    assert query[1] == [1, 2, 3]  # itself, and two that its mask hides
    assert query[3] == [2, 3]


def test_padding_does_not_stand_for_what_is_gone_either():
    now = counted([0, 1, 4, 5], valid=[[False, True, True, True]])
    assert left_of([[[0, 3]]], now, 1) == [[[0, 3]]]


def test_a_token_behind_much_padding_sees_what_it_chose():
    now = counted([0, 1, 2, 3, 4, 6], valid=[[False] * 4 + [True] * 2], sequence=7)
    assert left_of([[[4, 5]]], now, 1) == [[[4]]]


def test_filler_is_nobodys_column():
    """It repeats the last one of its row."""
    valid = [[True] * 4, [True, True, True, False]]
    now = counted([0, 1, 3, 5], [0, 4, 5, 5], valid=valid)
    found = left_of(CHOSEN * 2, now, 4)
    assert found[1][:3] == [[0], [1], [0]]
    before = [[0, 1, 3, 5], [0, 4, 5, 5]]
    chosen = [[[0, 0], [0, 1], [1, 2], [0, 2]], [[0, 0], [0, 1], [0, 2], [0, 2]]]
    now = counted([0, 3, 5], [0, 5, 5], valid=[[True] * 3, [True, True, False]])
    found = left_of(chosen, now, 3, before)
    assert found[0] == [[0], [1], [0, 1]]
    assert found[1][:2] == [[0], [0, 1]]


def test_the_next_token_is_handed_a_choice_among_cached_columns():
    """The layer before holds 5 of 7 columns, this one 3: the new one is the last of either."""
    now = counted([0, 4, 6], sequence=7)
    assert left_of([[[1, 2, 4]]], now, 1, [[0, 3, 4, 5, 6]]) == [[[1, 2]]]
    assert left_of([[[1, 3, 3]]], now, 1, [[0, 3, 4, 5, 6]]) == [[[2]]]


def test_columns_that_nobody_dropped_stay_what_they_were():
    now = counted([0, 1, 2, 3, 4, 5])
    assert left_of(CHOSEN, now, 6) == [[sorted(set(query)) for query in CHOSEN[0]]]


def test_columns_are_numbered_once():
    """By place: where it is here, the first where filler repeats it; 6 where it is not."""
    now = counted([0, 1, 3, 5], [0, 4, 5, 5])
    assert now.numbers().tolist() == [[0, 1, 6, 2, 6, 3], [0, 6, 6, 6, 1, 2]]
    with pytest.raises(FrozenInstanceError):
        now.sequence = 7
