"""Every registered family: physical dropping gives what the masked oracle gives."""

from __future__ import annotations

import functools

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES, NAMES, VARIANTS
from tests.instrument.test_dropping import hook_tables
from v2drop_cli.models.registry import FAMILIES, family_for
from v2drop_cli.prove.cases.case import FIRST_WORD
from v2drop_cli.prove.oracle import decode, define, masked

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
ATTENTION = ["eager", "sdpa"]
CELLS = [
    pytest.param(name, attn, shape, id=f"{name}-{attn}-{shape}")
    for name in CASES
    for attn in CASES[name].attention
    for shape in CASES[name].shapes
]


@functools.cache
def model_of(name, attn):
    return CASES[name].make(attn)


def test_registry_and_matrix_list_the_same_families():
    assert set(NAMES) == set(FAMILIES)
    for name, case in CASES.items():
        assert case.name == name
        assert (name in VARIANTS) == bool(case.variant_of)
        family = family_for(model_of(name, "sdpa").config)
        assert family.name == case.family
        assert ("video" in family.media) or case.video is None


@pytest.mark.proves
@pytest.mark.parametrize(("name", "attn", "shape"), CELLS)
def test_v2drop_equals_the_masked_oracle(name, attn, shape):
    case, model = CASES[name], model_of(name, attn)
    inputs, vision = case.batch(case.prompts(shape))
    dropped, kept = define(case, model, inputs, vision)
    trace = check(case, model, inputs, dropped, "v2drop")
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    assert sum(trace.events[0].before) == sum(map(len, vision))


@pytest.mark.parametrize(("name", "attn", "shape"), CELLS)
def test_random_equals_the_masked_oracle(name, attn, shape):
    case, model = CASES[name], model_of(name, attn)
    inputs, vision = case.batch(case.prompts(shape))
    with v2drop.dropping(model, case.schedule, method="random", seed=3) as trace, torch.no_grad():
        model(**inputs)
    dropped, alive = {}, vision
    for event, (layer, keep) in zip(trace.events, case.drops, strict=True):
        stays = [list(row) for row in event.kept]
        count = [min(len(t), keep) if isinstance(keep, int) else int(len(t) * keep) for t in alive]
        assert (event.layer, [len(row) for row in stays]) == (layer, count)
        assert all(set(row) <= set(tokens) for row, tokens in zip(stays, alive, strict=True))
        dropped[layer] = [set(t) - set(row) for t, row in zip(alive, stays, strict=True)]
        alive = stays
    check(case, model, inputs, dropped, "random", seed=3)


def check(case, model, inputs, dropped, method, seed=0):
    """Prefill and 8 decode steps against the oracle; the oracle against dense."""
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted, tokens = decode(model, inputs, 8)
    with v2drop.dropping(model, case.schedule, method=method, seed=seed) as trace:
        got, _ = decode(model, inputs, 8, tokens)
    survivors = inputs["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, gone in enumerate(rows):
            survivors[b, list(gone)] = False
    torch.testing.assert_close(got[0][survivors], wanted[0][survivors], **TOLERANCE)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    dense, _ = decode(model, inputs, 8, tokens)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing
    return trace


@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", CASES)
def test_keeping_everything_is_bit_identical_and_hooks_go(name, attn):
    case, model = CASES[name], model_of(name, attn)
    inputs, _ = case.batch(case.prompts("ragged"))
    plain, tokens = decode(model, inputs, 2)
    before = hook_tables(model)
    with v2drop.dropping(model, ",".join(f"{layer}:1" for layer, _ in case.drops)) as trace:
        assert hook_tables(model) != before
        hooked, _ = decode(model, inputs, 2, tokens)
    assert hook_tables(model) == before
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))


@pytest.mark.parametrize("method", ["v2drop", "random"])
@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", CASES)
def test_a_row_does_not_depend_on_its_batch(name, attn, method):
    case, model = CASES[name], model_of(name, attn)
    prompts = case.prompts("ragged")
    inputs, _ = case.batch(prompts)
    with v2drop.dropping(model, case.schedule, method=method):
        together, tokens = decode(model, inputs, 3)
    for b, prompt in enumerate(prompts):
        alone, vision = case.batch([prompt])
        with v2drop.dropping(model, case.schedule, method=method) as trace:
            single, _ = decode(model, alone, 3, [token[b : b + 1] for token in tokens])
        assert bool(trace.events) == bool(vision[0])
        torch.testing.assert_close(single[0][0, -1], together[0][b, -1], **TOLERANCE)
        for a, c in zip(single[1:], together[1:], strict=True):
            torch.testing.assert_close(a[0], c[b], **TOLERANCE)


@pytest.mark.parametrize("shape", ["image", "images", "video"])
@pytest.mark.parametrize("name", CASES)
def test_re_prefill_gives_the_log_probabilities_of_generate(name, shape):
    case, model = CASES[name], model_of(name, "sdpa")
    if shape not in case.shapes:
        assert case.video is None
        return
    inputs, _ = case.batch(case.prompts(shape))
    with v2drop.dropping(model, case.schedule) as trace:
        out = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=6,
            suppress_tokens=list(range(FIRST_WORD)),  # a placeholder would need pixels later
            output_logits=True,
            return_dict_in_generate=True,
        )
        assert len(trace.events) == len(case.drops)
        longer = dict(inputs, input_ids=out.sequences[:, :-1])
        for key in ("attention_mask", "mm_token_type_ids", "token_type_ids"):
            if key in inputs:
                answer = key == "token_type_ids" and case.prefix  # it is no prefix
                fill = 1 if key == "attention_mask" or answer else 0
                longer[key] = torch.nn.functional.pad(inputs[key], (0, 5), value=fill)
        with torch.no_grad():
            again = model(**longer).logits
    step_by_step = torch.stack(out.logits, dim=1).log_softmax(-1)
    torch.testing.assert_close(again[:, -6:].log_softmax(-1), step_by_step, **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_text_alone_drops_nothing(name):
    """Nor does a placeholder id that came without pixels."""
    case, model = CASES[name], model_of(name, "sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    text = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    wanted = model.generate(**text, do_sample=False, max_new_tokens=3)
    with v2drop.dropping(model, case.schedule) as trace:
        got = model.generate(**text, do_sample=False, max_new_tokens=3)
    assert trace.events == []
    assert torch.equal(got, wanted)
