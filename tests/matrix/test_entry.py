"""Every family that can drop at layer 0: that gives what the masked oracle gives."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES, FIRST
from tests.matrix.test_matrix import ATTENTION, dropped_in, placed_as_alone
from tests.matrix.truth import TOLERANCE, batch, check, gone, model_of, spaced
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases.case import FIRST_WORD, schedule_text
from v2drop_cli.prove.oracle import decode, masked

pytestmark = pytest.mark.no_cover

ENTRY = [name for name, case in CASES.items() if case.entry]
CELLS = [
    pytest.param(name, attn, shape, id=f"{name}-{attn}-{shape}")
    for name in ENTRY
    for attn in CASES[name].attention
    for shape in CASES[name].shapes
]


def dropping(name, attn="sdpa", method="uniform"):
    return v2drop.dropping(
        model_of(name, attn), schedule_text(CASES[name].entry), method=method, seed=3
    )


def test_only_families_whose_first_layers_need_the_whole_prompt_are_left_out():
    for name, case in CASES.items():
        config = model_of(name, "sdpa").config
        assert (family_for(config).first_droppable_layer(config) > 0) == (case.entry is None), name


def tried(name, attn):
    """The very first in every attention, the others in one: masks are made alike for all."""
    return attn == "sdpa" or name in FIRST[:4]


METHODS = [
    pytest.param(*cell.values, method, id=f"{cell.id}-{method}")
    for cell in CELLS
    if tried(*cell.values[:2])
    for method in ("uniform", "random")
]
BY_ATTENTION = [(name, attn) for name in ENTRY for attn in ATTENTION if tried(name, attn)]


@pytest.mark.parametrize(("name", "attn", "shape", "method"), METHODS)
def test_it_equals_the_masked_oracle(name, attn, shape, method):
    vision = batch(name, shape)[1]
    dropped, kept = spaced(name, shape)
    schedule = schedule_text(CASES[name].entry)
    got, trace = dropped_in(model_of(name, attn), name, shape, schedule, method)
    assert [e.after for e in trace.events] == [tuple(map(len, kept[at])) for at in kept]
    found = gone(trace.events, vision)
    assert method == "random" or found == dropped
    check(name, shape, found, got)


@pytest.mark.parametrize(("name", "attn"), BY_ATTENTION)
def test_a_row_does_not_depend_on_its_batch(name, attn):
    case, model = CASES[name], model_of(name, attn)
    inputs, _ = batch(name, "ragged")
    with dropping(name, attn, "random"):
        together, tokens = decode(model, inputs, 3)
    for b, prompt in placed_as_alone(case, case.prompts("ragged")):
        alone, vision = case.batch([prompt])
        with dropping(name, attn, "random") as trace:
            single, _ = decode(model, alone, 3, [token[b : b + 1] for token in tokens])
        assert bool(trace.events) == bool(vision[0])
        torch.testing.assert_close(single[0][0, -1], together[0][b, -1], **TOLERANCE)
        for a, c in zip(single[1:], together[1:], strict=True):
            torch.testing.assert_close(a[0], c[b], **TOLERANCE)


@pytest.mark.parametrize(("name", "attn"), BY_ATTENTION)
def test_generate_gives_the_oracles_log_probabilities(name, attn):
    """In a ragged batch, where the model counts positions by mask and by its cache's length."""
    case, model = CASES[name], model_of(name, attn)
    inputs, _ = batch(name, "ragged")
    options = {
        "do_sample": False,
        "max_new_tokens": 6,
        "suppress_tokens": list(range(FIRST_WORD)),  # a placeholder would need pixels
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    dropped, _ = spaced(name, "ragged")
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted = model.generate(**inputs, **options)
    with dropping(name, attn):
        got = model.generate(**inputs, **options)
    assert torch.equal(got.sequences, wanted.sequences)
    torch.testing.assert_close(got.logits, wanted.logits, **TOLERANCE)


@pytest.mark.parametrize("name", ENTRY)
def test_keeping_everything_is_bit_identical(name):
    model, (inputs, _) = model_of(name, "sdpa"), batch(name, "ragged")
    plain, tokens = decode(model, inputs, 2)
    keeps = ",".join(f"{layer}:1" for layer, _ in CASES[name].entry)
    with v2drop.dropping(model, keeps, method="random") as trace:
        hooked, _ = decode(model, inputs, 2, tokens)
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))
