"""Greedy sets: farthest first, and most volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.instrument.test_footprint import Reads
from tests.methods.entering import Entering, drawn
from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.diversity import cosines, farthest_first, most_volume
from v2drop_cli.methods.registry import get_method


def determinant(kernel, chosen):
    return float(np.linalg.det(kernel[np.ix_(chosen, chosen)]))


def greedy_by_determinants(kernel, k):
    chosen = []
    for _ in range(k):
        gain = {i: determinant(kernel, [*chosen, i]) for i in range(len(kernel)) if i not in chosen}
        chosen.append(max(gain, key=lambda i: (gain[i], -i)))
    return chosen


def test_each_step_adds_the_most_volume():
    for seed in range(4):
        states = drawn(12, 20, seed=seed).double()
        kernel = (states @ states.T).numpy()
        found = most_volume(torch.tensor(kernel, dtype=torch.float32), 6).tolist()
        assert found == greedy_by_determinants(kernel, 6)


def test_beyond_the_rank_all_are_different_and_the_earlier_ones_first():
    directions = torch.eye(3)[[2, 0, 0, 1, 2, 0]]
    kernel = directions @ directions.T
    assert most_volume(kernel, 6).tolist() == [0, 1, 3, 2, 4, 5]
    assert most_volume(torch.zeros(4, 4), 3).tolist() == [0, 1, 2]
    states = drawn(50, 4)
    found = most_volume(cosines(states), 50).tolist()
    assert sorted(found) == list(range(50))


def test_a_small_part_of_its_own_counts_where_the_token_is_small():
    # The third token is a thousandth as long as the others, but all of it is its own.
    states = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1e-5, 0.0], [0.0, 0.0, 1e-3]])
    assert most_volume(states @ states.T, 2).tolist() == [0, 2]


def test_the_farthest_is_farthest_from_all_chosen():
    points = torch.tensor([0.0, 10.0, 4.0, 6.0, 9.5])
    assert farthest_first((points[:, None] - points).abs(), 4).tolist() == [0, 1, 2, 3]


def test_cosines_are_float32_and_exactly_1_with_itself():
    states = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float16)
    assert cosines(states).dtype == torch.float32
    assert cosines(states).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert cosines(drawn(40, 7)).diagonal().tolist() == [1.0] * 40


def test_no_step_waits_for_the_device():
    """A greedy set has as many steps as tokens that stay: a wait in each would cost most of all."""
    alike = cosines(drawn(30, 8))
    with Reads() as reads:
        most_volume(alike, 20)
        farthest_first(1 - alike, 20)
    assert reads.found == []


@pytest.mark.parametrize("name", ["divprune", "cdpruner", "qapruner", "deviation"])
def test_states_that_are_no_numbers_are_said_to_be_none(name):
    states = drawn(8)
    states[3, 2] = torch.nan
    with pytest.raises(InstrumentError, match="NaN"):
        get_method(name).select(Entering(states, drawn(2)).context(3))
