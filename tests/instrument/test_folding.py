"""Layers that fold tokens into a state: drops before, between and behind them, and their caches.

The matrix drops in every such family where its case says; here is one of them, a Qwen3.5, with
drops at each of its layers: two with linear attention, two with full attention, one of each.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext

import pytest
import torch
import transformers
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.release import CACHE
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument import context
from v2drop_cli.instrument.entry import held_at_entry, teller
from v2drop_cli.methods.base import ATTENTION, KEYS, PREVIOUS_HIDDEN, TEXT, Method
from v2drop_cli.models.registry import family_for
from v2drop_cli.models.releases import release
from v2drop_cli.prove.cases.case import TEXT as SIZES
from v2drop_cli.prove.cases.case import build
from v2drop_cli.prove.oracle import decode, masked
from v2drop_cli.prove.shortened import Shortened
from v2drop_cli.tensors import pack

CASE = CASES["qwen3_5"]
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
STEPS = 4
FULL = {2, 3, 5}  # layers with attention; the others fold


@functools.cache
def model_of(attn="sdpa"):
    return CASE.make(attn)


@functools.cache
def prompts(shape="ragged"):
    return CASE.batch(CASE.prompts(shape))


def gone_at(trace, vision):
    dropped, alive = {}, vision
    for event in trace.events:
        dropped[event.layer] = [set(a) - set(k) for a, k in zip(alive, event.kept, strict=True)]
        alive = event.kept
    return dropped


def oracle(dropped, inputs, tokens, model=None):
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    model = model_of() if model is None else model
    with masked(CASE.layers(model), padding, dropped):
        return decode(model, inputs, STEPS, tokens)[0]


def off(got, wanted):
    """How far the logits of each row's last token are apart, in the prompt and later."""
    pairs = zip(got, wanted, strict=True)
    return max(float((a[:, -1] - b[:, -1]).abs().max()) for a, b in pairs)


def test_the_tiny_model_has_both_kinds_of_layers():
    kinds = model_of().config.get_text_config().layer_types
    assert {i for i, kind in enumerate(kinds) if kind == "full_attention"} == FULL
    assert len(kinds) == 6


def test_the_oracle_without_drops_is_the_dense_model():
    """Each row alone, by hand, gives what the model gives with its padding masked."""
    inputs, _ = prompts()
    dense, tokens = decode(model_of(), inputs, STEPS)
    assert off(oracle({}, inputs, tokens), dense) < 1e-5


# Before, between and behind; at the layer right behind a linear one, and at each of the others.
@pytest.mark.parametrize("schedule", [
    "1:0.5", "2:0.5", "3:0.5", "4:0.5", "5:0.5", "0:0.5", "1:0.7,2:0.6,4:3t", "0:0.5,4:0",
])  # fmt: skip
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_drops_at_every_layer_equal_the_oracle(schedule, attn):
    inputs, vision = prompts()
    model = model_of(attn)
    with v2drop.dropping(model, schedule, method="random", seed=5) as trace:
        got, tokens = decode(model, inputs, STEPS)
    wanted = oracle(gone_at(trace, vision), inputs, tokens, model)
    assert off(got, wanted) < 1e-5
    dense, _ = decode(model, inputs, STEPS, tokens)
    assert off(dense, wanted) > 1e-3  # else it proves nothing


def test_states_that_saw_dropped_tokens_would_give_another_answer(monkeypatch):
    inputs, vision = prompts("image")
    with v2drop.dropping(model_of(), "1:0.3", method="random") as trace:
        got, tokens = decode(model_of(), inputs, STEPS)
    dropped = gone_at(trace, vision)
    assert off(got, oracle(dropped, inputs, tokens)) < 1e-5
    monkeypatch.setattr(Shortened, "_left", lambda self, index, row, past, width: range(width))
    assert off(got, oracle(dropped, inputs, tokens)) > 1e-3


@pytest.mark.parametrize("fault", ["filler on the right", "filler not masked"])
def test_filler_that_a_state_sees_would_give_another_answer(monkeypatch, fault):
    inputs, vision = prompts()
    if fault == "filler on the right":
        monkeypatch.setattr(context, "pack", lambda rows, left: pack(rows))
    else:
        unmasked = context.folded_call

        def forgetful(call, forward, hidden, kwargs, before):
            changed = unmasked(call, forward, hidden, kwargs, before)
            return changed and (changed[0], {**changed[1], "attention_mask": None})

        monkeypatch.setattr(context, "folded_call", forgetful)
    with v2drop.dropping(model_of(), "1:0.5", method="random") as trace:
        got, tokens = decode(model_of(), inputs, STEPS)
    assert off(got, oracle(gone_at(trace, vision), inputs, tokens)) > 1e-3


# Caches --------------------------------------------------------------------------------------


def run(model, inputs, cache):
    with torch.no_grad():
        return model(**inputs, **{CACHE: cache}).logits


@pytest.mark.parametrize("schedule", ["0:0.5", "2:0.5", "3:0.5"])
def test_the_cache_tells_the_length_of_the_sequence(schedule):
    """By its first layer with columns, which may have been born short."""
    inputs, vision = prompts("image")
    width, cache = inputs["input_ids"].shape[1], DynamicCache(config=model_of().config)
    gone = len(vision[0]) - int(len(vision[0]) * 0.5)
    with v2drop.dropping(model_of(), schedule, method="random"):
        run(model_of(), inputs, cache)
        assert teller(cache) == 2
        assert cache.get_seq_length() == width
        assert held_at_entry(cache) == width - (0 if schedule == "3:0.5" else gone)
        assert cache.get_seq_length(5) == width - gone
        states = [cache.layers[i] for i in (0, 1, 4)]
        assert all(layer.recurrent_states[0].abs().sum() > 0 for layer in states)


@pytest.mark.parametrize("schedule", ["1:0.5,4:0.5", "5:0.5", "0:0.5"])
def test_a_later_turn_of_text_goes_on_with_every_state(schedule):
    model, (inputs, vision) = model_of(), prompts("image")
    later = {"input_ids": torch.tensor([[11, 12, 13]])}
    width = inputs["input_ids"].shape[1]
    with v2drop.dropping(model, schedule, method="random") as trace:
        cache = DynamicCache(config=model.config)
        run(model, inputs, cache)
        got = run(model, later, cache)
    padding = torch.ones(1, width + 3, dtype=torch.long)
    with masked(CASE.layers(model), padding, gone_at(trace, vision)):
        cache = DynamicCache(config=model.config)
        run(model, inputs, cache)
        wanted = run(model, later, cache)
    torch.testing.assert_close(got, wanted, **TOLERANCE)


def test_an_emptied_cache_starts_over():
    if release(transformers.__version__) < (5, 23):
        pytest.skip("5.17 empties a cache by making its tensors zero, and keeps their length")
    model, (inputs, _) = model_of(), prompts("image")
    with v2drop.dropping(model, "1:0.5", method="random"):
        cache = DynamicCache(config=model.config)
        first = run(model, inputs, cache)
        cache.reset()
        text = {name: inputs[name][:, :4] for name in ("input_ids", "attention_mask")}
        alone = run(model, text, cache)
        cache.reset()
        torch.testing.assert_close(run(model, inputs, cache), first, **TOLERANCE)
    wanted = run(model, text, DynamicCache(config=model.config))
    torch.testing.assert_close(alone, wanted, **TOLERANCE)


def test_a_sequence_that_grew_outside_is_refused():
    """Where only layers with states were shortened too."""
    model, (inputs, _) = model_of(), prompts("image")
    token = {"input_ids": torch.tensor([[11]])}
    with v2drop.dropping(model, "4:0.5", method="random") as trace:
        cache = DynamicCache(config=model.config)
        run(model, inputs, cache)
        assert trace.events
        state = cache.layers[4].recurrent_states[0].clone()
        cache.layers[2].update(*(torch.zeros(1, 1, 1, 16) for _ in "kv"))
        with pytest.raises(InstrumentError, match="outside this"):
            run(model, token, cache)
        assert torch.equal(cache.layers[4].recurrent_states[0], state)


# Signals -------------------------------------------------------------------------------------


class Looks(Method):
    """Notes what a look finds at one layer, and keeps the first tokens at all of them."""

    name, paper = "looks", "a test"
    needs = frozenset({ATTENTION, KEYS, PREVIOUS_HIDDEN, TEXT})

    def __init__(self, layer=None, look=None):
        self.layer, self.look, self.seen = layer, look, []

    def score(self, ctx):
        if ctx.layer == self.layer:
            self.seen.append((ctx.positions, self.look(ctx.signals)))
        return -ctx.positions.float()


@pytest.mark.parametrize("before", ["", "2:0.6"])
def test_rows_of_attention_are_those_of_the_layer(before):
    """Queries have a gate beside them; and behind a drop filler comes first."""
    model, (inputs, vision) = model_of("eager"), prompts()
    made = []
    handle = model.model.language_model.layers[3].self_attn.register_forward_hook(
        lambda module, args, output: made.append(output[1])
    )
    looks = Looks(3, lambda s: (s.text_after(), s.attention(s.text_after(), 3)))
    with torch.no_grad():
        with v2drop.dropping(model, f"{before},3:0.9".lstrip(","), method=looks) as trace:
            model(**inputs)
        made.clear()  # short by what is dropped at layer 3
        with v2drop.dropping(model, before, method=Looks()) if before else nullcontext():
            model(**inputs)
    handle.remove()
    rows = [b for b, row in enumerate(vision) if row]
    gone = gone_at(trace, vision).get(2, [set()] * len(vision))
    for b, (positions, (text, got)) in zip(rows, looks.seen, strict=True):
        real = [i for i, real in enumerate(inputs["attention_mask"][b].tolist()) if real]
        alive = [i for i in real if i not in gone[b]]
        start = made[0].shape[-1] - len(alive)  # filler or padding comes first
        place = {column: start + n for n, column in enumerate(alive)}
        queries = [place[i] for i in text.tolist()]
        keys = [place[i] for i in positions.tolist()]
        torch.testing.assert_close(got, made[0][b][:, queries][..., keys], **TOLERANCE)


def test_a_layer_with_a_state_has_no_attention_to_look_at():
    model, (inputs, _) = model_of(), prompts("image")
    for layer, at in ((1, 1), (2, 1), (4, 4)):
        look = Looks(layer, lambda s, at=at: s.keys(at))
        with (
            v2drop.dropping(model, f"{layer}:0.5", method=look),
            pytest.raises(UnsupportedModelError, match=f"layer {at} .* no keys of its") as caught,
            torch.no_grad(),
        ):
            model(**inputs)
        assert "v2drop" in caught.value.hint


# Other decoders ------------------------------------------------------------------------------


def test_a_drop_at_layer_0_that_renumbers_is_the_model_on_the_shortened_prompt():
    """Nothing else is left of the dropped tokens then: LFM2's convolutions and all."""
    case = CASES["lfm2_vl"]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("image"))
    given = []
    handle = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    options = {"method": "uniform:positions=renumbered"}
    with v2drop.dropping(model, "0:0.5", **options) as trace, torch.no_grad():
        got = model(**inputs).logits
    handle.remove()
    gone = set(vision[0]) - set(trace.events[0].kept[0])
    left = [i for i in range(got.shape[1]) if i not in gone]
    with torch.no_grad():
        wanted = model(inputs_embeds=given[0][:, left]).logits
    torch.testing.assert_close(got[:, left], wanted, **TOLERANCE)


@pytest.mark.parametrize("schedule", ["0:0.5", "1:0.5,4:0.3"])
def test_rows_that_are_numbered_anew_do_not_depend_on_their_batch(schedule):
    """Their numbers begin behind the filler."""
    case = CASES["lfm2_vl"]
    model, prompts = case.make("sdpa"), case.prompts("ragged")
    inputs, _ = case.batch(prompts)
    options = {"method": "uniform:positions=renumbered"}
    with v2drop.dropping(model, schedule, **options):
        together, tokens = decode(model, inputs, 3)
    for b, prompt in enumerate(prompts):
        alone, _ = case.batch([prompt])
        with v2drop.dropping(model, schedule, **options):
            single, _ = decode(model, alone, 3, [token[b : b + 1] for token in tokens])
        for ours, theirs in zip(single, together, strict=True):
            torch.testing.assert_close(ours[0, -1], theirs[b, -1], **TOLERANCE)


@pytest.mark.parametrize(
    ("name", "bias", "words"),
    [("lfm2_vl", "conv_bias", "biases"), ("nemotron_h_omni", "use_bias", "bias")],
)
def test_states_that_a_bias_would_fill_are_refused(name, bias, words):
    if name not in CASES:
        pytest.skip("this version of transformers does not have it")
    config = CASES[name].config({**SIZES, bias: True}, CASES[name].ids)
    with pytest.raises(UnsupportedModelError, match=words):
        family_for(config)


def test_minicpm_ocr_is_minicpm_v():
    """Another name for the same layers: its checkpoints keep more tokens of a picture."""
    transformers = pytest.importorskip("transformers.models.minicpm_ocr")
    case = CASES["minicpmv4_6"]
    config = case.config(SIZES, case.ids).to_dict()
    config["model_type"] = "minicpm_ocr"
    made = transformers.MiniCPMOcrConfig(**config)
    model = build(transformers.MiniCPMOcrForConditionalGeneration, made, "sdpa")
    inputs, vision = case.batch(case.prompts("ragged"))
    with v2drop.dropping(model, case.schedule, method="random") as trace:
        got, tokens = decode(model, inputs, 2)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 2), value=1)
    with masked(case.layers(model), padding, gone_at(trace, vision)):
        wanted, _ = decode(model, inputs, 2, tokens)
    assert off(got, wanted) < 1e-5
