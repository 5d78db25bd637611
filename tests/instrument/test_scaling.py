"""Decoders that scale queries by their positions: survivors keep the scaling of their own."""

from __future__ import annotations

import functools

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_numbering import by_hand, entering
from tests.matrix.flash import NAME, recorded
from tests.matrix.test_matrix import TOLERANCE, model_of
from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.instrument import remade
from v2drop_cli.models.decoders import scaled_from
from v2drop_cli.prove.cases.ministral3 import UNSCALED
from v2drop_cli.prove.oracle import decode, define, masked

SCALED = ["ministral3", "mistral4"]
STEPS = 3


def asked(name, shape):
    """The oracle's logits, the tokens fed, and what is dropped."""
    case, exact = CASES[name], model_of(name, "eager")
    inputs, vision = case.batch(case.prompts(shape))
    dropped, _ = define(case, exact, inputs, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    with masked(case.layers(exact), padding, dropped):
        wanted, tokens = decode(exact, inputs, STEPS)
    return inputs, wanted, tokens


def last(logits):
    return torch.stack([step[:, -1] for step in logits])


@pytest.mark.parametrize("name", SCALED)
def test_where_it_begins_is_read_off_the_configuration(name):
    assert scaled_from(model_of(name, "eager").config) == UNSCALED
    assert scaled_from(model_of("mistral3", "eager").config) is None


@pytest.mark.parametrize("shape", ["image", "ragged"])
@pytest.mark.parametrize("name", SCALED)
def test_counting_columns_would_give_another_answer(monkeypatch, name, shape):
    """The scaling binds in these prompts: survivors one after the other are scaled otherwise."""
    inputs, wanted, tokens = asked(name, shape)

    def columns(call, forward, kwargs, shift):
        return torch.arange(forward.columns.width)[None] if forward.columns else None

    case, model = CASES[name], model_of(name, "eager")
    with v2drop.dropping(model, case.schedule):
        right, _ = decode(model, inputs, STEPS, tokens)
    monkeypatch.setattr(remade, "told_positions", columns)
    with v2drop.dropping(model, case.schedule):
        wrong, _ = decode(model, inputs, STEPS, tokens)
    torch.testing.assert_close(last(right), last(wanted), **TOLERANCE)
    assert (last(wrong) - last(wanted)).abs().max() > 1e-3


@pytest.mark.parametrize("name", SCALED)
def test_survivors_numbered_anew_are_scaled_by_their_new_numbers(name):
    """As if the dropped tokens had never been in the prompt, in layers after the drop."""
    case, model = CASES[name], model_of(name, "eager")
    inputs, vision = case.batch(case.prompts("image"))
    with v2drop.dropping(model, "2:0.5", method="uniform:positions=renumbered") as trace:
        got, tokens = decode(model, inputs, 1)
    kept = set(trace.events[0].kept[0])
    columns = [c for c in range(inputs["input_ids"].shape[1]) if c in kept or c not in vision[0]]
    states = entering(model, inputs)
    wanted = by_hand(model, states, {2: columns})
    torch.testing.assert_close(got[0][0, columns], wanted, **TOLERANCE)
    token = model.model.language_model.embed_tokens(tokens[0])
    again = by_hand(model, torch.cat([states, token]), {2: [*columns, len(states)]})
    torch.testing.assert_close(got[1][0, -1], again[-1], **TOLERANCE)


@functools.cache
def flash_model(name, unscaled):
    """Only the decoder in flash; scaling begins at ``unscaled``."""
    model = CASES[name].make("eager")
    model.config.text_config.rope_parameters["original_max_position_embeddings"] = unscaled
    model.set_attn_implementation({"text_config": NAME})
    return model


def test_flash_serves_one_row_that_is_not_scaled_and_refuses_one_that_is(monkeypatch):
    """Its kernels would take the gaps in its positions for packed sequences."""
    case = CASES["ministral3"]
    inputs, vision = case.batch(case.prompts("image"))
    width = inputs["input_ids"].shape[1]
    with recorded(monkeypatch) as calls:
        model = flash_model("ministral3", UNSCALED)
        with (
            v2drop.dropping(model, case.schedule),
            pytest.raises(UnsupportedModelError, match=f"from {UNSCALED} on") as caught,
        ):
            decode(model, inputs, 1)
        assert caught.value.hint
        calls.clear()
        model.config.text_config.rope_parameters["original_max_position_embeddings"] = width
        with v2drop.dropping(model, case.schedule) as trace:
            got, tokens = decode(model, inputs, STEPS)
        assert {kind for call in calls for kind, *_ in call.kernels} == {"dense"}
        model.config.text_config.rope_parameters["original_max_position_embeddings"] = UNSCALED
    exact = CASES["ministral3"].make("eager")
    exact.config.text_config.rope_parameters["original_max_position_embeddings"] = width
    gone, alive = {}, vision[0]
    for event in trace.events:
        gone[event.layer], alive = [set(alive) - set(event.kept[0])], event.kept[0]
    padding = torch.ones(1, width + STEPS, dtype=torch.long)
    with masked(case.layers(exact), padding, gone):
        wanted, _ = decode(exact, inputs, STEPS, tokens)
    torch.testing.assert_close(last(got), last(wanted), **TOLERANCE)


@pytest.mark.parametrize("name", SCALED)
def test_flash_serves_rows_of_a_batch(monkeypatch, name):
    """Several rows are never read as packed, so they are told their own positions."""
    inputs, wanted, tokens = asked(name, "ragged")
    with recorded(monkeypatch):
        model = flash_model(name, UNSCALED)
        with v2drop.dropping(model, CASES[name].schedule):
            got, _ = decode(model, inputs, STEPS, tokens)
    torch.testing.assert_close(last(got), last(wanted), **TOLERANCE)
