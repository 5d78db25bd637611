"""What a model tells beside its logits."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES, NAMES
from tests.instrument.test_oracle import TOLERANCE
from tests.matrix.truth import attends
from v2drop_cli.prove.oracle import define, masked, positions

# Phi-4 multimodal's own forward fails if it is asked for either: it asks its tower for states.
TELLING = [name for name in NAMES if name != "phi4_multimodal"]


def both(name, **options):
    """A family's outputs dropped and masked, and per layer the prompt columns still alive."""
    return outputs(CASES[name], CASES[name].make("eager"), **options)


def outputs(case, model, **options):
    """The same of a model that is there already."""
    inputs, vision = case.batch(case.prompts("image"))
    dropped, _ = define(case, model, inputs, vision)
    at = positions(model, inputs)
    with masked(case.layers(model), inputs["attention_mask"], dropped), torch.no_grad():
        wanted = model(**inputs, position_ids=at, **options)
    with v2drop.dropping(model, case.schedule), torch.no_grad():
        got = model(**inputs, position_ids=at, **options)
    alive, columns = [], set(range(inputs["input_ids"].shape[1]))
    for layer in range(len(case.layers(model))):
        columns = columns - (dropped[layer][0] if layer in dropped else set())
        alive.append(sorted(columns))
    return got, wanted, alive


@pytest.mark.mode("`output_hidden_states`", "works", "layers after a drop show the survivors only")
@pytest.mark.parametrize("name", TELLING)
def test_hidden_states_are_the_survivors_as_they_ran(name):
    got, wanted, alive = both(name, output_hidden_states=True)
    assert len(got.hidden_states) == len(wanted.hidden_states) == len(alive) + 1
    # Several states of a token come before the tokens in Gemma 3n, and behind them elsewhere.
    axis = -2 if name == "gemma3n" else 1
    # Entry i is what layer i was called with before it dropped: what layer i - 1 put out.
    for i, columns in enumerate([alive[0], *alive]):
        left = wanted.hidden_states[i].index_select(axis, torch.tensor(columns))
        torch.testing.assert_close(got.hidden_states[i], left, **TOLERANCE)
    assert len(alive[-1]) < len(alive[0])


@pytest.mark.mode(
    "`output_attentions` (eager)", "works", "layers after a drop show the survivors only"
)
@pytest.mark.parametrize("name", TELLING)
def test_attentions_are_those_among_survivors(name):
    case, model = CASES[name], CASES[name].make("eager")
    got, wanted, alive = outputs(case, model, output_attentions=True)
    # Layers with states, or experts alone, have no attentions to tell.
    layers = zip(case.layers(model), alive, strict=True)
    attending = [columns for layer, columns in layers if attends(layer)]
    assert attending
    assert len(got.attentions) == len(attending)
    for mine, oracle, columns in zip(got.attentions, wanted.attentions, attending, strict=True):
        at = torch.tensor(columns)
        if oracle.shape[-1] > len(columns):  # what the oracle calls by hand is short already
            oracle = oracle[:, :, at[:, None], at]
        torch.testing.assert_close(mine, oracle, **TOLERANCE)
        torch.testing.assert_close(mine.sum(-1), torch.ones(mine.shape[:3]))
