"""Sliding windows shorter than the prompt: counted in the columns of the whole sequence.

The decoder of most tests is a Mistral whose layers all have a window of 9 columns, around pictures
of 16 tokens. The truth is the dense model, with its own windows, and the dropped tokens masked.
"""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
import transformers
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES
from tests.instrument.test_entry import gone
from tests.matrix.flash import NAME, recorded
from tests.release import CACHE
from tests.text_decoders import llava_with
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument import remade
from v2drop_cli.instrument.masks import View
from v2drop_cli.methods.base import Kept, Method
from v2drop_cli.models.decoders import WINDOWED
from v2drop_cli.models.releases import release
from v2drop_cli.prove.cases.case import FIRST_WORD
from v2drop_cli.prove.oracle import decode, masked

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
LLAVA = CASES["llava"]
WINDOW, STEPS = 9, 14  # steps go on until no token of the prompt is in view
SCHEDULE = "1:0.5,3:0.5"
GREEDY = {"do_sample": False, "suppress_tokens": list(range(FIRST_WORD))}


@functools.cache
def windowed(name="mistral", attn="sdpa"):
    kinds = ["sliding_attention", "full_attention"] * 3
    changes = {"sliding_window": WINDOW} | ({} if name == "mistral" else {"layer_types": kinds})
    model = llava_with(name, **changes)
    model.set_attn_implementation(attn)
    return model


def prompts(shape="image"):
    return LLAVA.batch(LLAVA.prompts(shape))


def dropped(model, inputs, steps=STEPS, schedule=SCHEDULE, tokens=None, method="random"):
    """Logits, tokens, and what was dropped of `vision`."""
    with v2drop.dropping(model, schedule, method=method, seed=1) as trace:
        logits, fed = decode(model, inputs, steps, tokens)
    return logits, fed, trace


def oracle(model, inputs, events, vision, tokens):
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, len(tokens)), value=1)
    with masked(LLAVA.layers(model), padding, gone(events, vision)):
        return decode(model, inputs, len(tokens), tokens)[0]


def furthest(got, wanted):
    """The largest difference of the logits that mean something: each row's last."""
    return max(float((a[:, -1] - b[:, -1]).abs().max()) for a, b in zip(got, wanted, strict=True))


# The definition ------------------------------------------------------------------------------


@pytest.mark.mode("a sliding window that is shorter than the prompt (Gemma 3, Mistral)", "works",
                  "counted in the columns of the whole sequence")  # fmt: skip
@pytest.mark.parametrize("schedule", [SCHEDULE, "0:0.5,3:0.5"])
@pytest.mark.parametrize("shape", ["image", "images", "ragged"])
@pytest.mark.parametrize(
    ("name", "attn"), [("mistral", "eager"), ("mistral", "sdpa"), ("gemma2", "eager")]
)
def test_windows_count_dropped_tokens(name, attn, shape, schedule):
    """At the prefill, and while decoding until all of the prompt is out of view."""
    model, (inputs, vision) = windowed(name, attn), prompts(shape)
    got, tokens, trace = dropped(model, inputs, schedule=schedule)
    wanted = oracle(model, inputs, trace.events, vision, tokens)
    assert furthest(got, wanted) < 1e-5
    dense, _ = decode(model, inputs, STEPS, tokens)
    assert furthest(dense[:1], wanted[:1]) > 1e-3  # else the masks prove nothing


def test_every_windowed_decoder_is_tested():
    """By itself above, or by its family in the matrix."""
    ran = {case.make("eager").config.get_text_config().model_type for case in CASES.values()}
    # An older transformers lacks some of them.
    assert ran | {"mistral", "gemma2"} >= WINDOWED or ABSENT


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_counting_columns_is_another_answer_and_a_wrong_one(monkeypatch, attn):
    """What a window does that counts the columns which are left: farther ones come into view."""
    model, (inputs, vision) = windowed(attn=attn), prompts()
    got, tokens, trace = dropped(model, inputs, 4)
    wanted = oracle(model, inputs, trace.events, vision, tokens)

    def by_column(size, places, cuts_blocks, starts):
        return View(size, torch.arange(places.shape[1]).expand_as(places), cuts_blocks, starts)

    monkeypatch.setattr(remade, "View", by_column)
    counted, *_ = dropped(model, inputs, 4, tokens=tokens)
    assert furthest(got, wanted) < 1e-5
    assert all(furthest([a], [b]) > 1e-3 for a, b in zip(counted, wanted, strict=True))


def test_a_survivor_sees_whom_it_would_have_seen():
    """Columns 0, 3, 4 and 7 of a prompt are left, in a window of 4; then column 8 comes."""
    view = View(4, torch.tensor([[0, 3, 4, 7, 8]])).overlay()
    at = torch.arange(5)
    near = view(torch.tensor(0), torch.tensor(0), at[:, None], at[None])
    assert (near & (at[None] <= at[:, None])).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1],
    ]


def test_a_row_does_not_depend_on_its_batch():
    model = windowed()
    inputs, _ = prompts("ragged")
    together, tokens, _ = dropped(model, inputs, 6)
    for b, prompt in enumerate(LLAVA.prompts("ragged")):
        alone, _ = LLAVA.batch([prompt])
        single, *_ = dropped(model, alone, 6, tokens=[token[b : b + 1] for token in tokens])
        assert furthest(single, [step[b : b + 1] for step in together]) < 1e-5


@pytest.mark.parametrize("shape", ["image", "ragged"])
def test_a_cache_that_throws_nothing_away_gives_the_same(shape):
    """`DynamicCache()` knows of no windows; masks alone cut them."""
    model, (inputs, _) = windowed(), prompts(shape)
    answers = []
    for cache in (DynamicCache(config=model.config), DynamicCache()):
        with v2drop.dropping(model, SCHEDULE, method="random"):
            answers.append(model.generate(**inputs, **{CACHE: cache}, max_new_tokens=12, **GREEDY))
    assert torch.equal(*answers)


class Backwards(Method):
    """Keeps the first tokens, the other way round: a farther one then comes after a nearer."""

    name, paper = "backwards", "a test"

    def select(self, ctx):
        return Kept(torch.arange(ctx.n_keep).flip(0), in_order=True)


def test_tokens_in_another_order_keep_their_places_and_are_not_thrown_away():
    model, (inputs, _) = windowed(), prompts()
    answers = []
    for cache in (DynamicCache(config=model.config), DynamicCache()):
        with v2drop.dropping(model, "1:0.75", method=Backwards()):
            answers.append(model.generate(**inputs, **{CACHE: cache}, max_new_tokens=12, **GREEDY))
    assert torch.equal(*answers)


# Memory --------------------------------------------------------------------------------------


def held(cache):
    return [layer.keys.shape[2] for layer in cache.layers]


def test_a_window_holds_no_more_than_in_the_dense_model():
    """8 columns, and fewer where fewer are left; in a ragged batch what filler pushes out too."""
    model, (inputs, _) = windowed(), prompts()
    with v2drop.dropping(model, "1:0.5,4:0", method="random"), torch.no_grad():
        cache = model(**inputs, use_cache=True)[CACHE]
        assert held(cache) == [WINDOW - 1] * 6
        ids = torch.tensor([[20]])
        for _ in range(3):
            model(input_ids=ids, **{CACHE: cache}, use_cache=True)
        assert held(cache) == [WINDOW - 1] * 6
    ragged, rows = prompts("ragged")
    with v2drop.dropping(model, "1:0.5", method="random") as trace, torch.no_grad():
        cache = model(**ragged, use_cache=True)[CACHE]
    lengths = (ragged["attention_mask"].sum(1) - torch.tensor([len(row) for row in rows])).tolist()
    lengths = [n + len(kept) for n, kept in zip(lengths, trace.events[0].kept, strict=True)]
    most = max(lengths)
    assert held(cache) == [WINDOW - 1] + [min(most, WINDOW - 1 + most - min(lengths))] * 5


# Ways of generating ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"prompt_lookup_num_tokens": 3}, {}])
def test_ways_of_generating_give_the_oracles_answer(options):
    model, (inputs, vision) = windowed(), prompts()
    options = {**GREEDY, **options, "max_new_tokens": 12}
    with v2drop.dropping(model, SCHEDULE, method="random", seed=1) as trace:
        got = model.generate(**inputs, **options)
    rows = options.get("num_beams", 1)
    padding, lost = torch.ones(rows, 60), gone(trace.events[:2], vision * rows)
    with masked(LLAVA.layers(model), padding, lost):
        assert torch.equal(got, model.generate(**inputs, **options))


@pytest.mark.parametrize("config", [True, False])
def test_a_cache_that_is_cropped_back_answers_as_a_fresh_one(config):
    """As prefix reuse and assisted decoding do; a sliding cache must have been told before."""
    if config and release(transformers.__version__) < (5, 23):
        pytest.skip("5.17 cannot crop a sliding cache: transformers fails by itself")
    model, (inputs, _) = windowed(), prompts()
    cache = DynamicCache(config=model.config) if config else DynamicCache()
    for layer in cache.layers:
        layer.activate_past_recording()
    with v2drop.dropping(model, SCHEDULE, method="random"), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        answers = []
        for _ in range(2):
            out = model(input_ids=torch.tensor([[20, 21, 22]]), **{CACHE: cache}, use_cache=True)
            answers.append(out.logits)
            cache.crop(-3)
    torch.testing.assert_close(*answers, **TOLERANCE)


@pytest.mark.parametrize("shape", ["image", "ragged"])
@pytest.mark.parametrize("schedule", [SCHEDULE, "0:0.5"])
def test_two_turns_with_pictures_on_one_cache(shape, schedule):
    """Filler of both turns lies in the cache; the second turn's windows reach into the first."""
    model, (first, vision) = windowed(), prompts(shape)
    rows = len(vision)
    new = [LLAVA.prompt(2, "i", 7 + row) for row in range(rows)]
    second, later = LLAVA.batch(new)
    n, m = first["input_ids"].shape[1], second["input_ids"].shape[1]
    mask = torch.cat([first["attention_mask"], second["attention_mask"]], 1)
    steps = [torch.full((rows, 1), 20 + i) for i in range(6)]

    def turns(cache):
        with torch.no_grad():
            out = [model(**first, **{CACHE: cache}, use_cache=True).logits]
            told = mask
            for given in ({**second, "attention_mask": mask}, *steps):
                if not isinstance(given, dict):
                    told = torch.cat([told, told.new_ones(rows, 1)], 1)
                    given = {"input_ids": given, "attention_mask": told}
                at = (given["attention_mask"].cumsum(1) - 1).clamp_min(0)
                at = at[:, -given["input_ids"].shape[1] :]
                out.append(model(**given, position_ids=at, **{CACHE: cache}, use_cache=True).logits)
            return out

    with v2drop.dropping(model, schedule, method="random") as trace:
        got = turns(DynamicCache(config=model.config))
    half = len(trace.events) // 2
    lost = gone(trace.events[:half], vision)
    moved = [[n + i for i in row] for row in later]
    for layer, sets in gone(trace.events[half:], moved).items():
        lost[layer] = [a | b for a, b in zip(lost[layer], sets, strict=True)]
    padding = torch.nn.functional.pad(mask, (0, len(steps)), value=1)
    with masked(LLAVA.layers(model), padding, lost):
        wanted = turns(DynamicCache(config=model.config))
    assert furthest(got, wanted) < 1e-5
    assert m > WINDOW


def test_text_that_comes_in_chunks_sees_what_it_would_at_once():
    model, (inputs, _) = windowed(), prompts()
    more = torch.randint(FIRST_WORD, 60, (1, 15), generator=torch.Generator().manual_seed(0))
    got = []
    for sizes in ([15], [4, 11], [5] * 3):
        cache = DynamicCache(config=model.config)
        with v2drop.dropping(model, SCHEDULE, method="random"), torch.no_grad():
            model(**inputs, **{CACHE: cache}, use_cache=True)
            for chunk in more.split(sizes, dim=1):
                out = model(input_ids=chunk, **{CACHE: cache}, use_cache=True)
        got.append(out.logits[:, -1])
    torch.testing.assert_close(got[1], got[0], **TOLERANCE)
    torch.testing.assert_close(got[2], got[0], **TOLERANCE)


def test_an_emptied_cache_is_one_like_any_other():
    model, (ragged, _) = windowed(), prompts("ragged")
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SCHEDULE), torch.no_grad():
        model(**ragged, **{CACHE: cache}, use_cache=True)
    assert cache.layers[3].sliding_window > WINDOW
    cache.reset()
    assert {layer.sliding_window for layer in cache.layers} == {WINDOW}
    if cache.layers[0].keys is not None:
        return  # transformers 5.17 fills the tensors with zeros, and leaves them there
    inputs, _ = prompts()
    with torch.no_grad():
        again = model(**inputs, **{CACHE: cache}, use_cache=True).logits
        assert torch.equal(again, model(**inputs).logits)


# What is refused -------------------------------------------------------------------------------


@pytest.mark.mode("a cache with sliding windows, gone on with after the context", "refused",
                  "where a window cuts something")  # fmt: skip
@pytest.mark.parametrize("schedule", [SCHEDULE, "0:0.5"])
def test_a_cache_is_not_gone_on_with_after_the_context(schedule):
    model, (inputs, _) = windowed(), prompts()
    with v2drop.dropping(model, schedule, method="random"), torch.no_grad():
        cache = model(**inputs, use_cache=True)[CACHE]
    with (
        pytest.raises(InstrumentError, match="sliding window would count columns"),
        torch.no_grad(),
    ):
        model(input_ids=torch.tensor([[20]]), **{CACHE: cache}, use_cache=True)


def test_until_a_window_cuts_something_it_is():
    model = llava_with("mistral", sliding_window=28)
    inputs, _ = prompts()
    with v2drop.dropping(model, SCHEDULE, method="random"), torch.no_grad():
        cache = model(**inputs, use_cache=True)[CACHE]
    model.set_attn_implementation("sdpa")
    token = {"input_ids": torch.tensor([[20]])}
    with torch.no_grad():
        for _ in range(28 - inputs["input_ids"].shape[1] - 1):
            model(**token, **{CACHE: cache}, use_cache=True)
        with pytest.raises(InstrumentError, match="count columns"):
            model(**token, **{CACHE: cache}, use_cache=True)


@pytest.mark.parametrize("schedule", [SCHEDULE, "0:0.5,3:0.5"])
def test_copies_and_pickles_of_such_a_cache_are_what_it_is(schedule):
    model, (inputs, _) = windowed(), prompts()
    with v2drop.dropping(model, schedule, method="random"), torch.no_grad():
        cache = model(**inputs, use_cache=True)[CACHE]
    for made in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert held(made) == held(cache)
        assert made.get_seq_length() == cache.get_seq_length() == inputs["input_ids"].shape[1]
        assert [type(layer) for layer in made.layers] == [type(layer) for layer in cache.layers]


def test_other_rows_than_the_caches_are_refused():
    model, (inputs, _) = windowed(), prompts("ragged")
    with v2drop.dropping(model, SCHEDULE), torch.no_grad():
        cache = model(**inputs, use_cache=True)[CACHE]
        cache.batch_select_indices(torch.tensor([0, 1]))
        with pytest.raises(InstrumentError, match="rows"):
            model(input_ids=torch.tensor([[20], [21]]), **{CACHE: cache}, use_cache=True)


def test_numbering_anew_is_refused():
    for name in ("random:positions=renumbered", "random:positions=renumbered+v2drop"):
        with pytest.raises(UnsupportedModelError, match="windows are counted") as caught:
            v2drop.dropping(windowed(), "0:0.5,3:0.5", method=name).__enter__()
        assert "positions=original" in caught.value.hint


@pytest.mark.mode("flash kernels with a sliding window", "refused",
                  "once prompt and answer are longer than the window")  # fmt: skip
def test_flash_is_refused_once_a_window_cuts_something(monkeypatch):
    """Until then it is right: columns are no further apart than places."""
    inputs, _ = prompts()
    n = inputs["input_ids"].shape[1]
    with recorded(monkeypatch):
        model = llava_with("mistral", sliding_window=n + 2)
        model.set_attn_implementation("sdpa")
        wanted, tokens, _ = dropped(model, inputs, 2)
        model.set_attn_implementation(NAME)
        got, *_ = dropped(model, inputs, 2, tokens=tokens)
        assert furthest(got, wanted) < 1e-5
        with pytest.raises(InstrumentError, match="counts a sliding window in columns") as caught:
            dropped(model, inputs, 3)
        assert "sdpa" in caught.value.hint
