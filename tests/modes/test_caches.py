"""Kinds of caches, and ways of filling and reusing one."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from transformers import Cache, ContinuousBatchingConfig, DynamicCache, GenerationConfig
from transformers.cache_utils import QuantizedLayer

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_dropping import SHORT, crop, oracle_generate
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.matrix.flash import NAME, recorded
from tests.release import CACHE
from tests.tiny_llava import batch, make_llava, one_prompt, row
from v2drop_cli.errors import InstrumentError

GREEDY = {"do_sample": False, "max_new_tokens": 6}


@pytest.mark.mode('`cache_implementation="dynamic"`', "works")
def test_the_dynamic_cache_by_name():
    model, inputs = make_llava(), one_prompt()
    wanted = oracle_generate(model, inputs, **GREEDY)
    with v2drop.dropping(model, "3:0.5,17:0.5,22:1t"):
        got = model.generate(**inputs, **GREEDY, cache_implementation="dynamic")
    assert torch.equal(got, wanted)


class Halves(QuantizedLayer):
    """Quantises to what it was given, so that only the bookkeeping of quantised caches is left."""

    def _quantize(self, tensor, axis):
        return tensor.clone()

    def _dequantize(self, quantised):
        return quantised


@pytest.mark.mode(
    '`cache_implementation="quantized"`', "works", "proven with an exact quantiser of our own"
)
@pytest.mark.parametrize("residual", [4, 1000])
def test_quantised_caches_keep_their_own_lengths(residual):
    """Columns are moved from full precision to codes and back while layers differ in length."""
    model, inputs = make_llava(12), batch([row(3, 1, 5, 0), row(2, 1, 4, 1), row(9, 0, 3, 2)])
    with v2drop.dropping(model, SHORT):
        wanted = model.generate(**inputs, **GREEDY)
    cache = Cache(layers=[Halves(residual_length=residual) for _ in range(12)])
    with v2drop.dropping(model, SHORT) as trace:
        got = model.generate(**inputs, **GREEDY, **{CACHE: cache})
    assert torch.equal(got, wanted)
    assert len(trace.events) == 3
    assert cache.get_seq_length(0) > cache.get_seq_length(11)


@pytest.mark.mode('`cache_implementation="offloaded"`', "not proven", "its test needs a GPU")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="transformers offloads caches from CUDA")
def test_offloaded_caches():
    model = make_llava(12).to("cuda")
    inputs = {name: tensor.to("cuda") for name, tensor in one_prompt().items()}
    with v2drop.dropping(model, SHORT):
        wanted = model.generate(**inputs, **GREEDY)
        got = model.generate(**inputs, **GREEDY, cache_implementation="offloaded")
    assert torch.equal(got, wanted)


def questions(model, first, texts, reuse):
    """Answers to several questions about one picture; `reuse` the cache after the picture."""
    answers = []
    cache = DynamicCache(config=model.config)
    n = first["input_ids"].shape[1]
    with torch.no_grad():
        if reuse:
            model(**first, **{CACHE: cache}, use_cache=True)
        for text in texts:
            ids = torch.cat([first["input_ids"], torch.tensor([text])], 1)
            given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if reuse:
                given[CACHE] = cache
            else:
                given["pixel_values"] = first["pixel_values"]
            answers.append(model.generate(**given, **GREEDY)[0, ids.shape[1] :].tolist())
            if reuse:
                crop(cache, n)
    return answers


@pytest.mark.mode("prefix reuse: one cache of the picture, cropped back for each question", "works")
def test_one_picture_several_questions():
    model, first, texts = make_llava(12), one_prompt(), [[7, 8, 9], [20, 21], [33]]
    with v2drop.dropping(model, SHORT) as trace:
        again = questions(model, first, texts, reuse=True)
        assert len(trace.events) == 3
        fresh = questions(model, first, texts, reuse=False)
    assert again == fresh
    assert len({tuple(answer) for answer in again}) > 1


@pytest.mark.mode("prefix reuse: a copy of the cache for each question", "refused")
def test_copies_of_a_cache_are_refused():
    model, first = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        ids = torch.cat([first["input_ids"], torch.tensor([[7]])], 1)
        with pytest.raises(InstrumentError, match="copied outside"):
            model.generate(input_ids=ids, **{CACHE: copy.deepcopy(cache)}, **GREEDY)


@pytest.mark.mode("chunked prefill (`prefill_chunk_size`) through an image", "refused")
def test_chunked_prefill_of_an_image_is_refused():
    """Versions that give no chunk its pixels have shown the model no picture to begin with."""
    model, inputs = make_llava(12), one_prompt()
    chunked = {**GREEDY, "prefill_chunk_size": 16}
    blind = {**inputs, "pixel_values": -inputs["pixel_values"]}
    try:
        with v2drop.dropping(model, SHORT) as trace:
            out = model.generate(**inputs, **chunked)
    except InstrumentError as error:
        assert "several forwards" in error.message
    else:
        assert trace.events == []
        assert torch.equal(out, model.generate(**blind, **chunked))


@pytest.mark.mode("chunked prefill of text, also after an image turn", "works")
def test_chunked_prefill_of_a_text_turn():
    model, first = make_llava(12), one_prompt()
    outs = []
    text = {"input_ids": torch.tensor([[1, 7, 8, 9, 10]])}
    for size in (None, 2):
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(text["input_ids"][:, :2], **{CACHE: cache}, use_cache=True)
        options = {**GREEDY, CACHE: cache, "prefill_chunk_size": size}
        outs.append(model.generate(**text, **options))
    if not torch.equal(*outs):
        pytest.skip("this version of transformers chunks the cached part of a prompt again")
    outs = []
    for size in (None, 2):
        with v2drop.dropping(model, SHORT) as trace:
            cache = DynamicCache(config=model.config)
            with torch.no_grad():
                model(**first, **{CACHE: cache}, use_cache=True)
            ids = torch.cat([first["input_ids"], torch.tensor([[7, 8, 9, 10, 11]])], 1)
            outs.append(
                model.generate(input_ids=ids, **{CACHE: cache}, **GREEDY, prefill_chunk_size=size)
            )
        assert len(trace.events) == 3
    assert torch.equal(*outs)


def chunked_mistral3(size):
    """A picture among words, prefilled in chunks of `size` inside a context, and in one piece."""
    case = CASES["mistral3"]
    model = case.make("sdpa")
    inputs, _ = case.batch([case.prompt(3, "i", 1)])
    if "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        pytest.skip("this version of transformers loses the pixels of chunks by itself")
    with v2drop.dropping(model, case.schedule):
        return [
            model.generate(**inputs, do_sample=False, max_new_tokens=2, prefill_chunk_size=chunk)
            for chunk in (None, size)
        ]


@pytest.mark.parametrize("size", [5, 8, 9, 12])
def test_no_chunk_of_a_prompt_with_row_breaks_is_taken_for_an_image(size):
    """Mistral 3's pictures have text between rows: a chunk may end there."""
    with pytest.raises(InstrumentError, match="chunked"):
        chunked_mistral3(size)


def test_a_chunk_that_holds_the_whole_prompt_is_served():
    whole, chunk = chunked_mistral3(100)
    assert torch.equal(whole, chunk)


@pytest.mark.mode("packed sequences (`position_ids` that start again, `cu_seq_lens_q`)", "refused")
def test_packed_rows_are_refused():
    model, inputs = make_llava(12), one_prompt()
    ids, pixels = inputs["input_ids"], inputs["pixel_values"]
    n = ids.shape[1]
    packed = {
        "input_ids": torch.cat([ids, ids], 1),
        "pixel_values": torch.cat([pixels, pixels]),
        "position_ids": torch.cat([torch.arange(n), torch.arange(n)])[None],
        "use_cache": False,  # with a cache transformers looks for no packing, but flash does
    }
    with torch.no_grad():
        dense = model(**packed).logits
        torch.testing.assert_close(dense[:, n:], model(**inputs).logits, **TOLERANCE)
    lengths = torch.tensor([0, n, 2 * n], dtype=torch.int32)
    for extra in ({}, {"cu_seq_lens_q": lengths, "cu_seq_lens_k": lengths}):
        given = {**inputs, **extra} if extra else packed
        with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="packed"):
            model(**given)


def test_packed_rows_are_refused_where_flash_sees_through_a_mask_of_ones(monkeypatch):
    with recorded(monkeypatch):
        model = make_llava(12)
        model.set_attn_implementation({"text_config": NAME})
        inputs = one_prompt()
        n = inputs["input_ids"].shape[1]
        at = torch.arange(n) % (n - 3)
        with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="packed"):
            model(**inputs, position_ids=at[None])
        with v2drop.dropping(model, SHORT) as trace, torch.no_grad():
            model(**inputs, position_ids=torch.arange(n)[None])
        assert trace.events


def test_a_crop_of_padding_on_the_right_is_refused():
    """Layers after a drop do not hold it: the crop would take text from them."""
    model, inputs = make_llava(12), one_prompt()
    padded = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (0, 3)),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 3)),
        "pixel_values": inputs["pixel_values"],
    }
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**padded, **{CACHE: cache})
        cache.crop(-3)
        with pytest.raises(InstrumentError, match="cropped"):
            model(input_ids=torch.tensor([[20, 21]]), **{CACHE: cache})


def test_one_row_without_a_mask_is_not_packed():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT):
        wanted, tokens = decode(model, inputs, 1)
        with torch.no_grad():
            got = model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"]).logits
    assert torch.equal(got, wanted[0])
    assert tokens


@pytest.mark.mode(
    "continuous batching (`generate_batch`, paged cache)", "refused", "in each request's `error`"
)
def test_continuous_batching_is_refused_in_each_request():
    pytest.importorskip("psutil")  # transformers looks for free memory with it
    model = make_llava(4)
    small = ContinuousBatchingConfig(num_blocks=16, block_size=16, max_batch_tokens=64)
    with v2drop.dropping(model, "1:0.5"):
        out = model.generate_batch(
            [one_prompt()["input_ids"][0].tolist()],
            generation_config=GenerationConfig(max_new_tokens=2, do_sample=False),
            continuous_batching_config=small,
            progress_bar=False,
        )
    [request] = out.values()
    assert "continuous batching" in request.error
    assert request.generated_tokens == []
