"""Vision features added between layers: to which columns, and by whom."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.instrument.later_features import LaterFeatures, as_given, taken_over
from v2drop_cli.models.later import Later
from v2drop_cli.tensors import pack

# Two rows of five columns, with two vision tokens and with three.
WHERE = torch.tensor([[0, 1, 1, 0, 0], [1, 0, 1, 0, 1]], dtype=torch.bool)


def features(base):
    """Of the five vision tokens, row by row: base + 1 to base + 5, and ten times that."""
    numbers = torch.arange(1.0, 6) + base
    return torch.stack([numbers, numbers * 10], dim=1)


def later(*layers, **more):
    return Later("deep", {layer: features(100 * layer) for layer in layers}, WHERE, **more)


def first_numbers(found):
    return found[..., 0].int().tolist()


def test_the_vision_tokens_are_counted_from_1_row_by_row():
    assert LaterFeatures.of(later()).numbers.tolist() == [[0, 1, 2, 0, 0], [3, 0, 4, 0, 5]]


def test_each_vision_token_gets_its_own_and_text_nothing():
    hidden = torch.full((2, 5, 2), 1000.0)
    found = LaterFeatures.of(later(3)).added(3, hidden, None)
    assert first_numbers(found) == [
        [1000, 1301, 1302, 1000, 1000],
        [1303, 1000, 1304, 1000, 1305],
    ]
    assert found[1, 4].tolist() == [1305, 4050]
    assert hidden.unique().tolist() == [1000]  # what the layer before gave stays what it is


def test_after_a_drop_each_survivor_still_gets_its_own():
    columns = pack([torch.tensor([0, 2, 3, 4]), torch.tensor([1, 3, 4])])
    found = LaterFeatures.of(later(3)).added(3, torch.zeros(2, 4, 2), columns)
    assert first_numbers(found) == [[0, 302, 0, 0], [0, 0, 305, 305]]  # filler repeats a column


def test_nothing_is_added_to_what_enters_other_layers():
    hidden = torch.zeros(2, 5, 2)
    assert LaterFeatures.of(later(3)).added(2, hidden, None) is hidden


def test_states_keep_their_precision():
    hidden = torch.zeros(2, 5, 2, dtype=torch.bfloat16)
    assert LaterFeatures.of(later(3)).added(3, hidden, None).dtype == torch.bfloat16


# Who adds -------------------------------------------------------------------------------------


def test_the_loop_adds_up_to_the_first_drop_and_the_hooks_behind_it():
    given = {"deep": "all of them", "other": 5}
    mine, handed = taken_over(later(0, 2, 3, 6), 2, given)
    assert sorted(mine.features) == [3, 6]
    assert (sorted(handed["deep"]), handed["other"]) == ([0, 2], 5)
    assert mine.numbers.tolist() == [[0, 1, 2, 0, 0], [3, 0, 4, 0, 5]]
    assert given["deep"] == "all of them"


def test_a_list_is_handed_on_as_a_list():
    """Of what leaves layers 0, 1 and 2, that is, enters 1, 2 and 3."""
    mine, handed = taken_over(later(1, 2, 3, listed=True), 1, {})
    assert sorted(mine.features) == [2, 3]
    assert [kept[0, 0].item() for kept in handed["deep"]] == [101]


def test_where_nothing_is_added_nothing_is_taken():
    assert taken_over(None, 2, {}) is None


def test_it_is_a_value():
    with pytest.raises(FrozenInstanceError):
        LaterFeatures.of(later()).numbers = None


# What a method sees as embeddings ---------------------------------------------------------------

EMBEDDINGS = torch.full((2, 5, 2), 7.0)


@pytest.mark.parametrize("given", [None, later(0, 3), later(alone=True)])
def test_embeddings_are_what_the_decoder_was_given(given):
    assert as_given(given, EMBEDDINGS) is EMBEDDINGS


def test_vision_tokens_that_come_empty_are_seen_with_their_first_features():
    found = as_given(later(5, 2, 3, alone=True), EMBEDDINGS)
    assert first_numbers(found) == [[7, 208, 209, 7, 7], [210, 7, 211, 7, 212]]
