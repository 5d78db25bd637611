"""Rows of attention and keys made again, against NumPy on numbers drawn here."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.attention import Attended, beside_weights, past_keys, softmax_rows
from v2drop_cli.models.projections import Projections

HEADS, GROUPS, SIZE, WIDTH, PAST = 4, 2, 3, 5, 7
CLOSE = {"atol": 1e-6, "rtol": 1e-5}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Layer:
    """A layer of matrices; a rotation is `x * cos + x reversed * sin`."""

    scaling = 0.7

    def __init__(self):
        self.norm = drawn(SIZE, SIZE, seed=1)
        self.to_queries = drawn(HEADS, SIZE, SIZE, seed=2)
        self.to_keys = drawn(GROUPS, SIZE, SIZE, seed=3)


HOW = Projections(
    norm=lambda layer: lambda states: states @ layer.norm,
    attention=lambda layer: layer,
    queries=lambda layer, states: states @ layer.to_queries,
    keys=lambda layer, states: states @ layer.to_keys,
    rotate=lambda layer, made, rope: made * rope[0] + made.flip(-1) * rope[1],
)
ROPE = (drawn(WIDTH, SIZE, seed=4), drawn(WIDTH, SIZE, seed=5))


def attended(**changes):
    plain = Attended(Layer(), drawn(WIDTH, SIZE, seed=6), ROPE, None, None, None)
    return dataclasses.replace(plain, **changes)


def rotated(made, at=slice(None)):
    cos, sin = (table.numpy()[at] for table in ROPE)
    return made * cos + made[..., ::-1] * sin


def keys_by_hand(layer, states):
    normed = states.numpy() @ layer.norm.numpy()
    return np.stack([rotated(normed @ one.numpy()) for one in layer.to_keys])


def rows_by_hand(found, columns, may_attend):
    """`[H, r, W]`, with `may_attend(row's column, key's column)`; earlier turns are negative."""
    layer, states = found.module, found.states
    keys = keys_by_hand(layer, states)
    if found.past is not None:
        keys = np.concatenate([found.past.numpy(), keys], axis=1)
    past = keys.shape[1] - len(states)
    normed = states.numpy() @ layer.norm.numpy()
    answer = np.zeros((HEADS, len(columns), len(states)))
    for head in range(HEADS):
        asked = rotated(normed @ layer.to_queries[head].numpy())
        for place, column in enumerate(columns):
            products = keys[head // (HEADS // GROUPS)] @ asked[column] * layer.scaling
            told = [may_attend(column, key - past) for key in range(len(products))]
            powers = np.where(told, np.exp(products), 0)
            answer[head, place] = (powers / powers.sum())[past:]
    return torch.tensor(answer, dtype=torch.float32)


def check(found, columns, may_attend):
    got = found.rows(HOW, torch.tensor(columns))
    torch.testing.assert_close(got, rows_by_hand(found, columns, may_attend), **CLOSE)


def test_keys_are_normed_projected_and_rotated():
    found = attended()
    wanted = torch.tensor(keys_by_hand(found.module, found.states))
    torch.testing.assert_close(found.keys(HOW), wanted, **CLOSE)


@pytest.mark.parametrize("columns", [[4], [1, 3], [0, 1, 2, 3, 4], [3, 1]])
def test_a_row_attends_to_itself_and_what_comes_before(columns):
    check(attended(), columns, lambda row, key: key <= row)


def test_a_row_shares_its_attention_with_earlier_turns():
    found = attended(past=drawn(GROUPS, PAST, SIZE, seed=7))
    check(found, [0, 3], lambda row, key: key <= row)
    assert (found.rows(HOW, torch.tensor([0])).sum(-1) < 1).any()


def test_nobody_attends_to_padding_and_filler():
    valid = torch.tensor([False] + [True] * 8 + [False, True, True])
    found = attended(past=drawn(GROUPS, PAST, SIZE, seed=7), valid=valid)
    check(found, [1, 4], lambda row, key: key <= row and bool(valid[key + PAST]))


def test_columns_of_one_block_attend_to_each_other_in_both_directions():
    blocks = torch.tensor([-1, 0, 0, -1, 1])
    found = attended(blocks=blocks, past=drawn(GROUPS, PAST, SIZE, seed=7))

    def may(row, key):
        together = key >= 0 and blocks[row] == blocks[key] >= 0
        return key <= row or bool(together)

    check(found, [0, 1, 2, 3], may)
    valid = torch.tensor([True] * 9 + [False] + [True] * 2)
    found = dataclasses.replace(found, valid=valid)
    check(found, [0, 1, 3], lambda row, key: may(row, key) and bool(valid[key + PAST]))


def test_rows_and_softmax_are_in_float32_whatever_the_model_is_in():
    asked, keys = drawn(4, 2, 3).bfloat16(), drawn(2, 5, 3, seed=1).bfloat16()
    found = softmax_rows(asked, keys, 0.5, None)
    assert (found.dtype, found.shape) == (torch.float32, (4, 2, 5))
    for head in range(4):
        wanted = (asked[head].float() @ keys[head // 2].float().T * 0.5).softmax(-1)
        torch.testing.assert_close(found[head], wanted)
    halves = attended(past=drawn(GROUPS, PAST, SIZE).double())
    assert halves.rows(HOW, torch.tensor([1])).dtype == torch.float32


def test_it_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        attended().past = None


# Earlier turns -------------------------------------------------------------------------------


def cache_of(*keys):
    return SimpleNamespace(layers=[SimpleNamespace(keys=one) for one in keys])


def test_keys_of_earlier_turns_are_a_row_of_the_cache():
    held = drawn(2, GROUPS, 6, SIZE)
    cache = cache_of(None, held)
    assert torch.equal(past_keys(cache, 1, 1, 4), held[1, :, :4])
    assert torch.equal(past_keys(cache, 1, 0, 6), held[0])
    assert past_keys(None, 1, 0, 0) is None


@pytest.mark.parametrize(
    "held", [None, [1.0], drawn(2, 6, 3), drawn(1, 2, 3, 3), drawn(1, 1, 5, 5, 3)]
)
def test_a_cache_that_does_not_show_its_keys_is_refused(held):
    with pytest.raises(InstrumentError, match="cannot be read from a SimpleNamespace") as caught:
        past_keys(cache_of(held), 0, 0, 4)
    assert caught.value.hint
    with pytest.raises(InstrumentError, match="cannot be read"):
        past_keys(SimpleNamespace(layers=[SimpleNamespace()]), 0, 0, 4)


def test_states_go_to_the_weights_unless_these_are_fetched():
    def module(*devices):
        return SimpleNamespace(parameters=lambda: [SimpleNamespace(device=d) for d in devices])

    states, nowhere = drawn(2, 3), torch.device("meta")
    elsewhere = torch.device("meta", 0)  # stands for another device than the CPU
    assert beside_weights(module(elsewhere, nowhere), states).device.type == "meta"
    assert beside_weights(module(torch.device("cpu"), nowhere), states) is states
    assert beside_weights(module(nowhere), states) is states
    assert beside_weights(module(), states) is states
