"""Every registered family: physical dropping gives what the masked oracle gives."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES, FIRST, NAMES, VARIANTS
from tests.instrument.test_dropping import hook_tables
from tests.matrix.truth import STEPS, TOLERANCE, batch, check, defined, dense, gone, model_of
from v2drop_cli.models.registry import FAMILIES, family_for
from v2drop_cli.prove.cases import VARIANTS as REGISTERED_VARIANTS
from v2drop_cli.prove.cases.case import FIRST_WORD
from v2drop_cli.prove.oracle import count, decode, positions

pytestmark = pytest.mark.no_cover

ATTENTION = ["eager", "sdpa"]
CELLS = [
    pytest.param(name, attn, shape, id=f"{name}-{attn}-{shape}")
    for name in CASES
    for attn in CASES[name].attention
    for shape in CASES[name].shapes
]


def test_registry_and_matrix_list_the_same_families():
    assert {*NAMES, *ABSENT} - {*REGISTERED_VARIANTS} == set(FAMILIES)
    for name, case in CASES.items():
        assert case.name == name
        assert (name in VARIANTS) == bool(case.variant_of)
        family = family_for(model_of(name, "sdpa").config)
        assert family.name == case.family
        assert ("video" in family.media) or case.video is None


def dropped_in(model, name, shape, schedule, method="v2drop", steps=STEPS):
    """All logits and the trace of a prefill and some steps under the tokens of dense."""
    inputs, tokens = batch(name, shape)[0], dense(name, shape)[1]
    with v2drop.dropping(model, schedule, method=method, seed=3) as trace:
        got, _ = decode(model, inputs, steps, tokens)
    return got, trace


@pytest.mark.proves
@pytest.mark.parametrize(("name", "attn", "shape"), CELLS)
def test_v2drop_equals_the_masked_oracle(name, attn, shape):
    dropped, kept = defined(name, shape)
    got, trace = dropped_in(model_of(name, attn), name, shape, CASES[name].schedule)
    check(name, shape, dropped, got)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    assert sum(trace.events[0].before) == sum(map(len, batch(name, shape)[1]))


@pytest.mark.parametrize(("name", "attn", "shape"), CELLS)
def test_random_equals_the_masked_oracle(name, attn, shape):
    vision = batch(name, shape)[1]
    got, trace = dropped_in(model_of(name, attn), name, shape, CASES[name].schedule, "random")
    check(name, shape, gone(trace.events, vision), got)
    alive = list(map(len, vision))
    for event, (layer, keep) in zip(trace.events, CASES[name].drops, strict=True):
        alive = [count(tokens, keep) for tokens in alive]
        assert (event.layer, list(map(len, event.kept))) == (layer, alive)


@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", CASES)
def test_keeping_everything_is_bit_identical_and_hooks_go(name, attn):
    case, model = CASES[name], model_of(name, attn)
    inputs, _ = batch(name, "ragged")
    plain, tokens = decode(model, inputs, 2)
    before = hook_tables(model)
    with v2drop.dropping(model, ",".join(f"{layer}:1" for layer, _ in case.drops)) as trace:
        assert hook_tables(model) != before
        hooked, _ = decode(model, inputs, 2, tokens)
    assert hook_tables(model) == before
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))


def placed_as_alone(case, prompts):
    """Rows to which the model gives the positions that it gives them alone, with their numbers."""
    rows = list(enumerate(prompts))
    if not case.numbered:
        return rows
    first = next(b for b, prompt in rows if prompt.pieces)
    return [(b, prompt) for b, prompt in rows if b <= first or not prompt.pieces]


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].numbered])
def test_positions_of_numbered_pictures_depend_on_the_batch(name):
    """The day they do not, this fails, and no row need be left out above."""
    case, model = CASES[name], model_of(name, "sdpa")
    prompts = case.prompts("ragged")
    together = positions(model, case.batch(prompts)[0])
    alone = positions(model, case.batch(prompts[-1:])[0])
    assert prompts[-1].pieces
    assert not torch.equal(together[:, -1, -alone.shape[-1] :], alone[:, 0])


# The first families in every way, the others in one attention and by the paper's method.
ROWS = [
    (name, attn, method)
    for name in CASES
    for attn in ATTENTION
    for method in ("v2drop", "random")
    if name in FIRST or (attn, method) == ("sdpa", "v2drop")
]


@pytest.mark.parametrize(("name", "attn", "method"), ROWS)
def test_a_row_does_not_depend_on_its_batch(name, attn, method):
    case, model = CASES[name], model_of(name, attn)
    inputs, _ = batch(name, "ragged")
    with v2drop.dropping(model, case.schedule, method=method):
        together, tokens = decode(model, inputs, 3)
    for b, prompt in placed_as_alone(case, case.prompts("ragged")):
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
    inputs, _ = batch(name, shape)
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
    inputs, _ = batch(name, "image")
    text = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    wanted = model.generate(**text, do_sample=False, max_new_tokens=3)
    with v2drop.dropping(model, case.schedule) as trace:
        got = model.generate(**text, do_sample=False, max_new_tokens=3)
    assert trace.events == []
    assert torch.equal(got, wanted)
