"""A sliding window on the answer alone: the prompt's survivors stay in view, whole.

The truth is the dense model with its own window, and the dropped tokens masked. Answers here are
longer than the window, so that it binds.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_entry import gone
from tests.release import CACHE
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument import remade
from v2drop_cli.instrument.answer_windows import in_view, take, view_of
from v2drop_cli.prove.cases.case import FIRST_WORD, TEXT, build
from v2drop_cli.prove.oracle import decode, masked

if "unlimited_ocr" not in CASES:
    pytest.skip("this version of transformers does not have it", allow_module_level=True)
CASE = CASES["unlimited_ocr"]
WINDOW, STEPS = 4, 8
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
DROPS = ("1:0.5,3:0.5", "0:0.5", "2:3t,5:0")


@functools.cache
def model_of(attn="sdpa"):
    config = CASE.config(TEXT, CASE.ids)
    config.text_config.sliding_window = WINDOW
    return build(CASE.model, config, attn)


def prompts(shape="images"):
    return CASE.batch(CASE.prompts(shape))


def oracle(events, tokens, attn="sdpa"):
    inputs, vision = prompts()
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    with masked(CASE.layers(model_of(attn)), padding, gone(events, vision)):
        return decode(model_of(attn), inputs, STEPS, tokens)[0]


def held(told=None, prompt=0, answered=0):
    """A cache of one layer with a window of 4: how much of prompt and answer it was given."""
    layer = SimpleNamespace(
        prefill_length=told, prefill_cumulative_length=prompt, cumulative_length=answered,
        sliding_window=4,
    )  # fmt: skip
    return SimpleNamespace(layers=[layer])


def given(cache, width, new, padding=None):
    """What the layer believes of its prompt's length, after it was told of `new` columns."""
    padding = None if padding is None else torch.tensor(padding, dtype=torch.bool)
    take(cache, 0, SimpleNamespace(width=width, padding=padding), new)
    return cache.layers[0].prefill_length


def test_a_layer_is_told_how_long_its_prompt_is_after_a_drop():
    assert given(held(10), width=10, new=7) == 7
    assert given(held(20, prompt=7), width=10, new=7) == 17  # in two pieces
    assert given(held(9), width=10, new=10) == 9
    assert given(held(), width=10, new=7) is None  # nobody told it
    plain = SimpleNamespace(layers=[SimpleNamespace(prefill_length=5)])
    assert given(plain, width=10, new=7) == 5
    take(None, 0, SimpleNamespace(width=10, padding=None), 7)


def test_an_answer_is_never_shortened():
    with pytest.raises(InstrumentError, match="part of the answer"):
        given(held(7, prompt=7), width=3, new=2)


@pytest.mark.parametrize("padding", [None, [[1] * 9, [1] * 9], [[0] + [1] * 8]])
def test_several_tokens_must_be_in_view_of_one_another(padding):
    assert given(held(7, 7, answered=2), 2, 2, padding) == 7
    assert given(held(7, 7, answered=4), 1, 1, padding) == 7
    with pytest.raises(InstrumentError, match="cuts between"):
        given(held(7, 7, answered=3), 2, 2, padding)


def test_a_padded_batch_must_stay_within_the_window():
    padding = [[0] + [1] * 8, [1] * 9]
    assert given(held(7, 7, answered=3), 1, 1, padding) == 7
    with pytest.raises(InstrumentError, match="padded batch"):
        given(held(7, 7, answered=4), 1, 1, padding)


def test_the_prompt_stays_in_view_and_the_last_of_the_answer():
    assert view_of(held(prompt=7), 0, 7) == (7, 7)
    assert view_of(held(prompt=7), 0, 9) == (7, 9)
    assert view_of(held(prompt=7), 0, 20) == (7, 10)
    assert view_of(None, 0, 20) == (20, 20)
    plain = SimpleNamespace(layers=[SimpleNamespace(sliding_window=4)])
    assert view_of(plain, 0, 20) == (20, 20)
    columns = torch.arange(20).view(2, 10)
    left = in_view(columns, 4, 3)
    assert left.tolist() == [[0, 1, 2, 3, 7, 8, 9], [10, 11, 12, 13, 17, 18, 19]]
    assert torch.equal(in_view(columns, 4, 0), columns)


def off(got, wanted):
    return max(float((a[:, -1] - b[:, -1]).abs().max()) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("schedule", DROPS)
def test_it_equals_the_masked_oracle_past_the_windows_end(schedule, attn):
    with v2drop.dropping(model_of(attn), schedule, method="random") as trace:
        got, tokens = decode(model_of(attn), prompts()[0], STEPS)
    assert off(got, oracle(trace.events, tokens, attn)) < 1e-5


def test_the_window_binds():
    """Without it the answer is another one."""
    inputs, _ = prompts()
    dense, tokens = decode(model_of(), inputs, STEPS)
    config = CASE.config(TEXT, CASE.ids)
    config.text_config.sliding_window = 64
    wide, _ = decode(build(CASE.model, config, "sdpa"), inputs, STEPS, tokens)
    assert off(dense[: WINDOW + 1], wide[: WINDOW + 1]) < 1e-5
    assert off(dense[WINDOW + 1 :], wide[WINDOW + 1 :]) > 1e-3


def generated(schedule):
    model, (inputs, _) = model_of(), prompts()
    words = list(range(FIRST_WORD))
    with v2drop.dropping(model, schedule, method="random") as trace:
        out = model.generate(
            **inputs, do_sample=False, max_new_tokens=STEPS + 1, min_new_tokens=STEPS + 1,
            suppress_tokens=words, output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    tokens = out.sequences[:, inputs["input_ids"].shape[1] :]
    wanted = oracle(trace.events, list(tokens[:, :-1].unbind(1)))
    return max(float((a - b[:, -1]).abs().max()) for a, b in zip(out.logits, wanted, strict=True))


@pytest.mark.parametrize("schedule", DROPS)
def test_generate_tells_caches_a_length_that_is_shortened(schedule):
    assert generated(schedule) < 1e-5


def test_the_whole_prompts_length_would_take_the_answer_for_a_part_of_it(monkeypatch):
    monkeypatch.setattr(remade, "take", lambda *arguments: None)
    assert generated(DROPS[0]) > 1e-3


def test_a_cache_that_is_emptied_starts_over():
    model, (inputs, _) = model_of(), prompts("image")
    cache, logits = DynamicCache(config=model.config), []
    with v2drop.dropping(model, "1:0.5", method="random"), torch.no_grad():
        for _ in range(2):
            logits.append(model(**inputs, **{CACHE: cache}, use_cache=True).logits)
            for layer in cache.layers:
                layer.reset()
                layer.__init__(sliding_window=WINDOW)
    assert torch.equal(*logits)


def turns(second, shape="image", first=STEPS - 2):
    """A prompt, part of an answer, and then what `second` makes of the shortened cache."""
    model, (inputs, _) = model_of(), prompts(shape)
    cache, rows = DynamicCache(config=model.config), len(inputs["input_ids"])
    mask = inputs["attention_mask"]
    with v2drop.dropping(model, "1:0.5", method="random"), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        for n in range(first):
            word = torch.full((rows, 1), FIRST_WORD + n)
            mask = torch.cat([mask, mask.new_ones(rows, 1)], 1)
            model(input_ids=word, attention_mask=mask, **{CACHE: cache}, use_cache=True)
        second(model, cache)


def words(count):
    def ask(model, cache):
        ids = torch.full((1, count), FIRST_WORD)
        model(input_ids=ids, **{CACHE: cache}, use_cache=True)

    return ask


def test_several_tokens_that_the_window_cuts_are_refused():
    turns(words(2), first=2)
    with pytest.raises(InstrumentError, match="cuts between them"):
        turns(words(2), first=3)
    turns(words(1))


def test_another_picture_behind_an_answer_is_refused():
    def show(model, cache):
        inputs, _ = prompts("image")
        inputs.pop("attention_mask")
        model(**inputs, **{CACHE: cache}, use_cache=True)

    with pytest.raises(InstrumentError, match="a part of the answer"):
        turns(show, first=1)


def test_long_answers_of_a_padded_batch_are_refused():
    turns(lambda model, cache: None, "ragged", first=WINDOW)
    with pytest.raises(InstrumentError, match="padded batch"):
        turns(lambda model, cache: None, "ragged", first=WINDOW + 1)


def test_a_cache_outside_of_its_context_says_no():
    model, (inputs, _) = model_of(), prompts("image")
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, "0:0.5", method="uniform"), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
    with pytest.raises(InstrumentError, match="outside"), torch.no_grad():
        model(input_ids=torch.tensor([[FIRST_WORD]]), **{CACHE: cache}, use_cache=True)


def test_survivors_are_not_numbered_anew():
    with pytest.raises(UnsupportedModelError, match="windows"):
        v2drop.dropping(model_of(), "1:0.5", method="random:positions=renumbered").__enter__()
