"""What stays of a row, and in which order."""

from __future__ import annotations

import torch

from v2drop_cli.instrument.selection import Selection
from v2drop_cli.methods.base import Kept

VISION = torch.tensor([1, 2, 3, 4])
WIDTH = 6


def added(keep, n_stay, hidden=None):
    found = Selection()
    hidden = torch.zeros(1, WIDTH, 2) if hidden is None else hidden
    found.add(keep, hidden, VISION, torch.ones(WIDTH, dtype=torch.bool), n_stay)
    return found


def test_survivors_stay_in_sequence_order():
    found = added(Kept(torch.tensor([2, 3])), 4)
    assert found.rows[0].tolist() == [0, 3, 4, 5]
    assert found.alive[0].tolist() == [1, 2]
    assert found.hidden is None
    assert found.sources == [None]
    assert not found.moved


def test_survivors_in_the_order_that_a_method_gives():
    found = added(Kept(torch.tensor([3, 0, 2]), in_order=True), 5)
    assert found.rows[0].tolist() == [0, 4, 1, 3, 5]
    assert found.alive[0].tolist() == [1, 2, 3]
    assert found.moved


def test_merged_states_are_written_where_their_tokens_were():
    hidden = torch.arange(WIDTH * 2.0).view(1, WIDTH, 2)
    merged = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    found = added(Kept(torch.tensor([3, 0]), merged, in_order=True), 4, hidden)
    assert found.rows[0].tolist() == [0, 4, 1, 5]
    assert found.hidden[0, [4, 1]].tolist() == merged.tolist()
    assert found.hidden[0, [0, 2, 3, 5]].tolist() == hidden[0, [0, 2, 3, 5]].tolist()
    assert hidden[0, 4].tolist() == [8.0, 9.0]  # the decoder's own tensor is left alone


def test_nothing_may_stay():
    found = added(Kept(torch.zeros(0, dtype=torch.int64)), 2)
    assert found.rows[0].tolist() == [0, 5]
    assert found.alive[0].tolist() == []


def test_rows_come_one_after_the_other():
    found = added(Kept(torch.tensor([0])), 3)
    hidden = torch.zeros(2, WIDTH, 2)
    merged = torch.ones(1, 2)
    present = torch.tensor([False, True, True, True, True, True])
    found.add(
        Kept(torch.tensor([1]), merged, torch.tensor([0, -1, -1, -1])), hidden, VISION, present, 2
    )
    assert [row.tolist() for row in found.rows] == [[0, 1, 5], [2, 5]]
    assert found.hidden[1, 2].tolist() == [1.0, 1.0]
    assert found.hidden[0].tolist() == [[0.0, 0.0]] * WIDTH
