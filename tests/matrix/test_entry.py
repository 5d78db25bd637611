"""Every family that can drop at layer 0: that gives what the masked oracle gives."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_entry import gone
from tests.matrix.test_matrix import ATTENTION, TOLERANCE, model_of
from v2drop_cli.prove.cases.case import FIRST_WORD, schedule_text
from v2drop_cli.prove.oracle import count, decode, evenly, masked

ENTRY = [name for name, case in CASES.items() if case.entry]
CELLS = [
    pytest.param(name, attn, shape, id=f"{name}-{attn}-{shape}")
    for name in ENTRY
    for attn in ATTENTION
    for shape in CASES[name].shapes
]


def dropping(name, attn="sdpa", method="uniform"):
    return v2drop.dropping(
        model_of(name, attn), schedule_text(CASES[name].entry), method=method, seed=3
    )


def define(case, vision):
    """What `uniform` keeps at each drop, in plain Python, and what it drops."""
    kept, dropped, alive = {}, {}, vision
    for layer, keep in case.entry:
        kept[layer] = [evenly(row, count(len(row), keep)) for row in alive]
        dropped[layer] = [set(a) - set(k) for a, k in zip(alive, kept[layer], strict=True)]
        alive = kept[layer]
    return kept, dropped


def test_only_families_whose_first_layers_need_the_whole_prompt_are_left_out():
    assert set(CASES) - set(ENTRY) == {
        "qwen3_vl",
        "qwen3_vl_moe",
        "granite_docling",
        "cohere_compass",
    }


@pytest.mark.parametrize("method", ["uniform", "random"])
@pytest.mark.parametrize(("name", "attn", "shape"), CELLS)
def test_it_equals_the_masked_oracle(name, attn, shape, method):
    case, model = CASES[name], model_of(name, attn)
    inputs, vision = case.batch(case.prompts(shape))
    kept, dropped = define(case, vision)
    if method == "random":
        with dropping(name, attn, method) as trace, torch.no_grad():
            model(**inputs)
        assert [e.after for e in trace.events] == [tuple(map(len, kept[at])) for at in kept]
        dropped = gone(trace.events, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted, tokens = decode(model, inputs, 8)
    with dropping(name, attn, method) as trace:
        got, _ = decode(model, inputs, 8, tokens)
    assert gone(trace.events, vision) == dropped
    survivors = inputs["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, columns in enumerate(rows):
            survivors[b, list(columns)] = False
    torch.testing.assert_close(got[0][survivors], wanted[0][survivors], **TOLERANCE)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    dense, _ = decode(model, inputs, 8, tokens)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing


@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", ENTRY)
def test_a_row_does_not_depend_on_its_batch(name, attn):
    case, model = CASES[name], model_of(name, attn)
    prompts = case.prompts("ragged")
    inputs, _ = case.batch(prompts)
    with dropping(name, attn, "random"):
        together, tokens = decode(model, inputs, 3)
    for b, prompt in enumerate(prompts):
        alone, vision = case.batch([prompt])
        with dropping(name, attn, "random") as trace:
            single, _ = decode(model, alone, 3, [token[b : b + 1] for token in tokens])
        assert bool(trace.events) == bool(vision[0])
        torch.testing.assert_close(single[0][0, -1], together[0][b, -1], **TOLERANCE)
        for a, c in zip(single[1:], together[1:], strict=True):
            torch.testing.assert_close(a[0], c[b], **TOLERANCE)


@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", ENTRY)
def test_generate_gives_the_oracles_log_probabilities(name, attn):
    """In a ragged batch, where the model counts positions by mask and by its cache's length."""
    case, model = CASES[name], model_of(name, attn)
    inputs, vision = case.batch(case.prompts("ragged"))
    options = {
        "do_sample": False,
        "max_new_tokens": 6,
        "suppress_tokens": list(range(FIRST_WORD)),  # a placeholder would need pixels
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    _, dropped = define(case, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted = model.generate(**inputs, **options)
    with dropping(name, attn):
        got = model.generate(**inputs, **options)
    assert torch.equal(got.sequences, wanted.sequences)
    torch.testing.assert_close(got.logits, wanted.logits, **TOLERANCE)


@pytest.mark.parametrize("name", ENTRY)
def test_keeping_everything_is_bit_identical(name):
    case, model = CASES[name], model_of(name, "sdpa")
    inputs, _ = case.batch(case.prompts("ragged"))
    plain, tokens = decode(model, inputs, 2)
    with v2drop.dropping(model, "0:1,3:1", method="random") as trace:
        hooked, _ = decode(model, inputs, 2, tokens)
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))
