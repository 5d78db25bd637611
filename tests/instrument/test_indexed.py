"""Layers with an index: it chooses among survivors, and keeps keys of survivors only."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.matrix.truth import ROUGH, TOLERANCE, batch, defined, gone, masked, model_of
from tests.release import CACHE
from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases.case import TEXT, schedule_text
from v2drop_cli.prove.oracle import decode, positions
from v2drop_cli.prove.oracle import masked as masking
from v2drop_cli.prove.shortened import Shortened

TAIL = 4  # words behind the picture, all of which see it
MASKED = [name for name in ("dots3_note", "qwen4_exp", "mistral_large4") if name in CASES]
# The oracle calls these layers by hand, because they make masks of their own.
POOLED = [name for name in ("glm5_next",) if name in CASES]
INDEXED = MASKED + POOLED


def indexers(name, model):
    """By layer."""
    attentions = [getattr(layer, "self_attn", None) for layer in CASES[name].layers(model)]
    found = [getattr(attention, "indexer", None) for attention in attentions]
    return {i: indexer for i, indexer in enumerate(found) if indexer is not None}


def columns_of(chosen):
    """What the last query of the first row may attend to, from what an index gave."""
    if chosen.dtype == torch.bool:  # a mask
        return chosen[0, 0, -1].nonzero()[:, 0]
    return chosen[0, -1][chosen[0, -1] >= 0]


@pytest.mark.parametrize("name", INDEXED)
def test_it_chooses_fewer_than_there_are_survivors_and_only_of_them(name):
    """Keys of the index are as many as columns of the layer, at the prefill and at each step."""
    case, model = CASES[name], model_of(name, "sdpa")
    inputs, _ = batch(name, "image")
    cache, chosen = DynamicCache(config=model.config), {}
    hooks = [
        indexer.register_forward_hook(lambda m, a, out, i=i: chosen.update({i: out}))
        for i, indexer in indexers(name, model).items()
    ]
    left = inputs["input_ids"].shape[1]
    try:
        with v2drop.dropping(model, case.schedule) as trace, torch.no_grad():
            at = positions(model, inputs)
            model(**inputs, position_ids=at, **{CACHE: cache})
            model(input_ids=torch.tensor([[11]]), position_ids=at[..., -1:] + 1, **{CACHE: cache})
    finally:
        for hook in hooks:
            hook.remove()
    gone = {event.layer: event.before[0] - event.after[0] for event in trace.events}
    for layer, held in enumerate(cache.layers):
        left -= gone.get(layer, 0)
        if layer in chosen:
            assert held.indexer_keys.shape[1] == held.keys.shape[2] == left + 1
            found = columns_of(chosen[layer])
            assert len(found) < left
            assert found.max() <= left
    assert len(gone) == len(case.drops)


@pytest.mark.parametrize("name", INDEXED)
def test_a_later_turn_of_text_equals_the_oracle(name):
    """Several tokens at once: each of them chooses among those up to itself."""
    case, model, (inputs, vision) = CASES[name], model_of(name, "sdpa"), batch(name, "image")
    later = torch.tensor([[11, 12, 13]])

    def answered():
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(**inputs, **{CACHE: cache})
            return model(input_ids=later, **{CACHE: cache}).logits

    with v2drop.dropping(model, schedule_text(case.entry), method="random") as trace:
        got = answered()
    padding = torch.ones(1, inputs["input_ids"].shape[1] + later.shape[1], dtype=torch.long)
    with masking(case.layers(model), padding, gone(trace.events, vision)):
        wanted = answered()
    torch.testing.assert_close(got, wanted, **ROUGH.get(name, TOLERANCE))


@pytest.mark.parametrize("name", POOLED)
def test_pools_with_dropped_tokens_in_them_are_another_answer(monkeypatch, name):
    """Also where nothing but the index and the attention behind it sees dropped tokens."""
    inputs, _ = batch(name, "image")
    dropped, _ = defined(name, "image")
    wanted = masked(name, "image", dropped)[0][:, -TAIL:]
    model, left = model_of(name, "eager"), Shortened._left
    pooled = indexers(name, model)

    def all_where_there_is_an_index(self, index, row, past, width):
        return left(self, min(dropped) - 1 if index in pooled else index, row, past, width)

    monkeypatch.setattr(Shortened, "_left", all_where_there_is_an_index)
    with masking(CASES[name].layers(model), inputs["attention_mask"], dropped):
        [other] = decode(model, inputs, 0)[0]
    assert (other[:, -TAIL:] - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("name", MASKED)
def test_choosing_before_anything_was_dropped_is_another_answer(name):
    """So the index of the oracle must be masked, too: the choices of dense are not enough."""
    model, (inputs, _) = model_of(name, "eager"), batch(name, "image")
    dropped, _ = defined(name, "image")
    wanted = masked(name, "image", dropped)[0][:, -TAIL:]
    taken = {}

    def note(layer):
        return lambda module, args, out: taken.update({layer: out})

    hooks = [x.register_forward_hook(note(i)) for i, x in indexers(name, model).items()]
    with torch.no_grad():
        model(**inputs, position_ids=positions(model, inputs))
    for hook in hooks:
        hook.remove()

    def dense_choice(layer):
        return lambda module, args, out: taken[layer]

    hooks = [x.register_forward_hook(dense_choice(i)) for i, x in indexers(name, model).items()]
    try:
        with masking(CASES[name].layers(model), inputs["attention_mask"], dropped):
            [other] = decode(model, inputs, 0)[0]
    finally:
        for hook in hooks:
            hook.remove()
    assert (other[:, -TAIL:] - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("kernel", ["flash_attention_2", "flex_attention"])
@pytest.mark.parametrize("name", INDEXED)
def test_kernels_that_are_given_no_mask_are_refused(name, kernel):
    config = CASES[name].config(TEXT, CASES[name].ids)
    config.get_text_config()._attn_implementation = kernel
    with pytest.raises(UnsupportedModelError, match="index"):
        family_for(config)


@pytest.mark.parametrize("name", INDEXED)
def test_a_release_that_does_not_say_which_layers_have_an_index_is_refused(name):
    config = CASES[name].config(TEXT, CASES[name].ids)
    text = config.get_text_config()
    text.layer_types = [kind.replace("indexed", "full") for kind in text.layer_types]
    with pytest.raises(UnsupportedModelError, match="which have one"):
        family_for(config)


def refused(name, **changes):
    config = CASES[name].config(TEXT | changes, CASES[name].ids)
    with pytest.raises(UnsupportedModelError) as caught:
        family_for(config)
    return str(caught.value)


@pytest.mark.skipif("mistral_large4" not in CASES, reason="this transformers lacks the model")
def test_shared_keys_and_values_are_refused():
    config = CASES["mistral_large4"].config(TEXT, CASES["mistral_large4"].ids)
    config.get_text_config().kv_source_layers = [0, 0, 2, 3]
    with pytest.raises(UnsupportedModelError, match="share keys and values"):
        family_for(config)


@pytest.mark.skipif("glm5_next" not in CASES, reason="this transformers lacks the model")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"index_kpool_always_select_tail": False}, "attend to nothing"),
        ({"indexer_types": ["full", "full", "full", "shared"]}, "choice of an earlier one"),
    ],
)
def test_pools_that_nobody_has_proven_are_refused(changes, reason):
    assert reason in refused("glm5_next", **changes)
