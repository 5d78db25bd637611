"""Queries that a layer scales by its own count of columns, put right: on layers of one map alone.

Each layer here multiplies by nothing: what its map returns is all that the hooks change, so a query
of ones is the factor that they put in. Whole models are in ``test_chunked.py``.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.hooks import Before, hooked
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.temperature import temperature_hooks
from v2drop_cli.tensors import pack


class Attention(nn.Module):
    """As much of Llama 4's as is read."""

    attn_temperature_tuning, use_rope, floor_scale, attn_scale = True, False, 1.0, 1.0

    def __init__(self):
        super().__init__()
        self.q_proj = nn.Identity()

    def forward(self, hidden_states, past_key_values=None):
        return self.q_proj(hidden_states)


class Layer(nn.Module):
    def __init__(self, **changes):
        super().__init__()
        self.self_attn = Attention()
        for name, value in changes.items():
            setattr(self.self_attn, name, value)


class Cache:
    """A length for each layer. Layer 0 tells the sequence's, and has had this forward already."""

    def __init__(self, *lengths):
        self.lengths = lengths

    def get_seq_length(self, layer=0):
        return self.lengths[layer]


def factor(place):
    return math.log1p(place + 1) + 1


def state_of(forward=None, first_hooked=0):
    call = LayerCall(None, "past_key_values")
    return SimpleNamespace(forward=forward, first_hooked=first_hooked, call=call)


def multiplied(forward, width, cache=None, batch=1, dtype=torch.float32):
    """``[batch, width]``: what queries of layer 1 are multiplied with, ``None`` for nothing."""
    layers = [Layer(), Layer()]
    given = torch.ones(batch, width, 2, dtype=dtype)
    with hooked(*temperature_hooks(state_of(forward), layers)):
        found = layers[1].self_attn(hidden_states=given, past_key_values=cache)
    assert found.dtype == dtype
    return None if found is given else found[..., 0]


def check(found, *rows):
    """Each row is pairs: the place in the sequence, and the one that the layer counts."""
    wanted = [[factor(place) / factor(own) for place, own in row] for row in rows]
    torch.testing.assert_close(found, torch.tensor(wanted))


def columns(*rows):
    return pack([torch.tensor(row) for row in rows])


# Which layers ---------------------------------------------------------------------------------


def test_layers_that_count_are_hooked_from_the_first_hooked_one_on():
    turned, cold = Layer(use_rope=True), Layer(attn_temperature_tuning=False)
    layers = [Layer(), Layer(), turned, cold, nn.Identity(), Layer()]
    found = temperature_hooks(state_of(first_hooked=1), layers)
    wanted = [part for i in (1, 5) for part in (layers[i].self_attn, layers[i].self_attn.q_proj)]
    assert [hook.module for hook in found] == wanted
    assert [isinstance(hook, Before) for hook in found] == [True, False] * 2


# By what ----------------------------------------------------------------------------------------


def test_outside_a_forward_and_before_any_drop_queries_are_left_alone():
    assert multiplied(None, 4) is None
    assert multiplied(Forward(width=4), 4) is None
    assert multiplied(Forward(width=4), 4, Cache(10, 6)) is None


def test_survivors_of_a_prompt_are_scaled_by_their_places_in_it():
    forward = Forward(width=10, columns=columns([0, 1, 7, 9]))
    check(multiplied(forward, 4), [(0, 0), (1, 1), (7, 2), (9, 3)])
    check(multiplied(forward, 4, Cache(10, 0)), [(0, 0), (1, 1), (7, 2), (9, 3)])


def test_rows_have_places_of_their_own():
    forward = Forward(width=10, columns=columns([0, 1, 7], [2, 3, 9]))
    rows = [(0, 0), (1, 1), (7, 2)], [(2, 0), (3, 1), (9, 2)]
    check(multiplied(forward, 3, batch=2), *rows)


def test_a_later_token_is_scaled_by_its_place_in_the_whole_sequence():
    check(multiplied(Forward(width=1), 1, Cache(11, 7)), [(10, 7)])
    check(multiplied(Forward(width=2), 2, Cache(12, 7)), [(10, 7), (11, 8)])


def test_a_prompt_after_others_on_one_cache():
    """20 columns before it, of which the layer was left 15."""
    forward = Forward(width=10, columns=columns([0, 7, 9]))
    check(multiplied(forward, 3, Cache(30, 15)), [(20, 15), (27, 16), (29, 17)])
    check(multiplied(forward, 3, Cache(30, 20)), [(20, 20), (27, 21), (29, 22)])


def test_survivors_that_were_numbered_anew_are_scaled_by_their_new_numbers():
    forward = Forward(width=10, columns=columns([0, 1, 7, 9]), numbers=torch.tensor([[3, 4, 5, 6]]))
    check(multiplied(forward, 4), [(3, 0), (4, 1), (5, 2), (6, 3)])
    forward.shift = torch.tensor([2])
    check(multiplied(forward, 4), [(1, 0), (2, 1), (3, 2), (4, 3)])


def test_tokens_after_those_come_behind_them():
    """Of each row an earlier turn took some numbers; the layer may hold as many columns as ever."""
    forward = Forward(width=2, shift=torch.tensor([3, 5]))
    rows = [(7, 10), (8, 11)], [(5, 10), (6, 11)]
    check(multiplied(forward, 2, Cache(12, 10), batch=2), *rows)


def test_states_keep_their_precision():
    forward = Forward(width=10, columns=columns([0, 9]))
    found = multiplied(forward, 2, dtype=torch.bfloat16)
    assert found[0, 1].item() == pytest.approx(factor(9) / factor(1), rel=0.01)


def test_a_map_that_is_called_by_itself_returns_what_it_does():
    """What was found for one call of the attention is of that call alone."""
    layer, forward = Layer(), Forward(width=10, columns=columns([0, 9]))
    queries = torch.ones(1, 2, 2)
    with hooked(*temperature_hooks(state_of(forward), [layer])):
        layer.self_attn(hidden_states=queries)
        assert layer.self_attn.q_proj(queries) is queries


def test_an_attention_that_failed_before_its_map_leaves_nothing_behind():
    layer = Layer()
    state = state_of(Forward(width=10, columns=columns([0, 9])))
    enter, rescale = temperature_hooks(state, [layer])
    enter.hook((), {"hidden_states": torch.ones(1, 2, 2)})
    state.forward = None
    enter.hook((), {"hidden_states": torch.ones(1, 2, 2)})
    assert rescale.hook(torch.ones(1, 2, 2)) is None
