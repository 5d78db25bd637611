"""How layers are called, and what is refused of it."""

from __future__ import annotations

from collections import UserDict
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.layer_call import LayerCall, as_handed, only_hidden, rotary_tables

TENSOR = torch.zeros(2)


class Old(nn.Module):
    def forward(self, hidden, past_key_values=None, attention_mask=None, per_layer=None):
        return hidden


class New(nn.Module):
    def forward(self, hidden, cache=None, position_ids=None):
        return hidden


class Wide(nn.Module):
    def forward(self, hidden, cache=None, extra=None):
        return hidden


def call(*layers):
    text = SimpleNamespace(kind="text", model_type="text")
    return LayerCall.of(SimpleNamespace(get_text_config=lambda: text), layers)


def test_layers_say_what_they_call_the_cache_and_what_they_name():
    old = call(Old(), Old())
    assert old.cache_name == "past_key_values"
    assert {"hidden", "per_layer"} <= old.named
    assert old.config.kind == "text"
    assert call(New()).cache_name == "cache"
    assert {"position_ids", "extra"} <= call(New(), Wide()).named  # of all layers together
    with pytest.raises(InstrumentError):
        call(nn.Linear(1, 1))
    with pytest.raises(FrozenInstanceError):
        old.cache_name = ""
    with pytest.raises(AssertionError, match="cache"):
        call(Old(), New())  # no decoder has layers of both kinds


def test_the_cache_that_a_layer_was_handed():
    assert call(New()).cache({"cache": "c"}) == "c"
    assert call(Old()).cache({"cache": "c"}) is None
    assert call(Old()).cache({"past_key_values": "c"}) == "c"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"per_layer": None},
        {"per_layer": "no tensor"},
        {"per_layer": torch.tensor(1.0)},  # a single number is not along the sequence
        {"per_layer": UserDict()},  # where layers will put keys for later ones
        {"attention_mask": TENSOR},  # made anew
        {"position_ids": TENSOR},
        {"position_embeddings": (TENSOR, TENSOR)},
        {"unknown": TENSOR},  # named by no layer, so none reads it
    ],
)
def test_calls_that_are_served(more):
    call(Old()).check({"past_key_values": None, **more})


def test_a_cache_that_is_a_tensor_is_still_the_cache():
    call(Old()).check({"past_key_values": TENSOR})


def test_an_argument_along_the_sequence_that_nobody_shortens_is_refused():
    with pytest.raises(InstrumentError, match="per_layer") as caught:
        call(Old()).check({"past_key_values": None, "per_layer": TENSOR})
    assert caught.value.hint
    with pytest.raises(InstrumentError, match="extra"):
        call(New(), Wide()).check({"cache": None, "extra": TENSOR})


def test_what_earlier_layers_left_for_later_ones_is_refused():
    """Keys of dropped tokens, for instance, which later layers would see."""
    left = UserDict(full_attention=(TENSOR, TENSOR))
    with pytest.raises(InstrumentError, match="per_layer"):
        call(Old()).check({"past_key_values": None, "per_layer": left})


def test_what_is_left_where_no_layer_shares_is_read_by_none():
    """Gemma 4 leaves keys there all the same, from transformers 5.24 on."""
    text = SimpleNamespace(kind="text", model_type="text", num_kv_shared_layers=0)
    old = LayerCall.of(SimpleNamespace(get_text_config=lambda: text), [Old()])
    old.check({"past_key_values": None, "per_layer": {"full_attention": (TENSOR, TENSOR)}})
    with pytest.raises(InstrumentError, match="per_layer"):
        old.check({"past_key_values": None, "per_layer": TENSOR})


def test_a_decoder_that_hands_on_no_cache_is_refused():
    with pytest.raises(InstrumentError, match="no past_key_values") as caught:
        call(Old()).check({"cache": None})
    assert caught.value.hint


def test_hidden_states_are_all_that_comes_by_position():
    assert only_hidden((TENSOR,)) is TENSOR
    for args in ((), (TENSOR, TENSOR)):
        with pytest.raises(InstrumentError, match=f"{len(args)} arguments by position") as caught:
            only_hidden(args)
        assert caught.value.hint


def test_rotary_tables_are_a_cosine_and_a_sine_or_complex_numbers():
    both, turns = (TENSOR, TENSOR), torch.zeros(2, dtype=torch.complex64)
    assert rotary_tables({"position_embeddings": both}) is both
    assert as_handed(both) is both
    alone = rotary_tables({"position_embeddings": turns})
    assert (len(alone), alone[0] is turns, as_handed(alone) is turns) == (1, True, True)
    for tables, said in (
        (None, "no rotary tables"),
        (TENSOR, "not known"),
        ((TENSOR,), "not known"),
        ((turns,), "not known"),
        ((TENSOR,) * 3, "not known"),
        ([TENSOR, TENSOR], "not known"),
    ):
        with pytest.raises(InstrumentError, match=said) as caught:
            rotary_tables({"position_embeddings": tables})
        assert caught.value.hint
    with pytest.raises(InstrumentError, match="no rotary tables"):
        rotary_tables({})
