"""Drops at layer 0, where the decoder's input is shortened and no cache holds the whole prompt."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from transformers import Cache, DynamicCache, StaticCache
from transformers.cache_utils import DynamicLayer

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_dropping import crop, second_turn
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.oracle import masked
from tests.release import CACHE
from tests.tiny_llava import IMAGE, PATCHES, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import InstrumentError, ScheduleError
from v2drop_cli.instrument.entry import held_at_entry, leave_out, start_over
from v2drop_cli.methods.base import PREVIOUS_HIDDEN, Method
from v2drop_cli.prove.cases.case import FIRST_WORD, schedule_text

ENTRY = "0:0.5,3:0.3"
GREEDY = {"do_sample": False, "max_new_tokens": 6}
BATCHES = {
    "one": one_prompt,
    "left": lambda: mixed_batch("left"),
    "right": lambda: mixed_batch("right"),
}


def vision(inputs):
    return [[i for i, t in enumerate(r) if t == IMAGE] for r in inputs["input_ids"].tolist()]


def entering(model, schedule=ENTRY, method="random"):
    return v2drop.dropping(model, schedule, method=method)


def gone(events, alive):
    """Per drop layer and row, the columns that the trace leaves out of `alive`."""
    dropped = {}
    for event in events:
        dropped[event.layer] = [set(a) - set(k) for a, k in zip(alive, event.kept, strict=True)]
        alive = event.kept
    return dropped


def asked(model, inputs, method="random"):
    """What a context drops of a prompt."""
    with entering(model, method=method) as trace, torch.no_grad():
        model(**inputs)
    return gone(trace.events, vision(inputs))


# A cache by itself ---------------------------------------------------------------------------


def filled(cache, columns=7, layers=3):
    keys = torch.zeros(1, 1, columns, 2)
    for layer in range(layers):
        cache.update(keys, keys, layer)
    return cache


def short(held=7, missing=3):
    """A cache of which each layer holds 7 columns, of a sequence of 10."""
    cache = DynamicCache()
    leave_out(cache, missing)
    return filled(cache, held)


def lengths(cache):
    """Columns of the sequence, and those that layer 0 holds."""
    return cache.get_seq_length(), held_at_entry(cache)


def test_a_cache_counts_what_was_left_out_of_layer_0_and_no_other():
    cache = short()
    assert lengths(cache) == (10, 7)
    assert cache.get_seq_length(1) == 7
    assert isinstance(cache.layers[0], DynamicLayer)
    assert type(cache.layers[0]).__name__ == "DynamicLayer"
    assert type(cache.layers[1]) is DynamicLayer
    filled(cache, 2)
    assert lengths(cache) == (12, 9)
    leave_out(cache, 4)  # of a later turn
    filled(cache, 1)
    assert lengths(cache) == (17, 10)
    assert type(cache.layers[0]) is type(short().layers[0])


def test_a_layer_that_asks_its_own_cache_is_told_what_is_held_once_after_each_update():
    """An index counts its queries by it; everybody else counts the sequence."""
    cache, keys = DynamicCache(), torch.zeros(1, 1, 3, 2)
    leave_out(cache, 4, asks=True)
    for _ in range(2):
        cache.update(keys, keys, 0)
        held = held_at_entry(cache)
        assert [cache.layers[0].get_seq_length() for _ in range(3)] == [held, held + 4, held + 4]
    assert held == 6


def test_a_cache_that_nobody_told_anything_holds_what_it_says():
    assert lengths(filled(DynamicCache())) == (7, 7)
    assert lengths(DynamicCache()) == (0, 0)
    assert leave_out(None, 3) is None
    start_over(None)
    plain = filled(DynamicCache())
    start_over(plain)
    assert lengths(plain) == (7, 7)


def test_before_anything_is_held_there_is_no_sequence():
    cache = DynamicCache()
    leave_out(cache, 3)
    assert lengths(cache) == (0, 0)


@pytest.mark.parametrize(("amount", "left"), [(-1, (9, 6)), (-6, (4, 1)), (-10, (0, 0))])
def test_columns_are_cropped_off_the_end(amount, left):
    cache = short()
    cache.layers[0].crop(amount)
    assert lengths(cache) == left
    filled(cache, 2, 1)
    assert lengths(cache) == (left[0] + 2, left[1] + 2)


@pytest.mark.parametrize("amount", [-7, -8, -9, 1, 3])
def test_a_crop_that_leaves_nothing_but_what_is_missing_is_refused(amount):
    """A positive number is the length that is to be left, as in transformers 5.17."""
    cache = short()
    with pytest.raises(InstrumentError, match="cropped into a prompt") as caught:
        cache.layers[0].crop(amount)
    assert caught.value.hint
    assert lengths(cache) == (10, 7)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_and_pickles_of_a_layer_count_the_same_and_on_their_own(duplicate):
    layer = short().layers[0]
    twin = duplicate(layer)
    twin = pickle.loads(twin) if isinstance(twin, bytes) else twin
    assert type(twin) is type(layer)
    assert (twin.get_seq_length(), twin.held_columns()) == (10, 7)
    more = torch.zeros(1, 1, 1, 2)
    twin.update(more, more)
    twin.missing = 0
    assert (layer.get_seq_length(), twin.get_seq_length()) == (10, 8)


def emptied(cache):
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, :0], layer.values[:, :, :0]
    return cache


def test_an_emptied_cache_forgets_what_was_missing_once_it_is_told():
    cache = emptied(short())
    assert lengths(cache) == (0, 0)
    start_over(cache)
    assert lengths(filled(cache)) == (7, 7)
    cache = short()
    start_over(cache)  # it is not empty
    assert lengths(cache) == (10, 7)
    cache = emptied(short())
    leave_out(cache, 4)  # instead of the 3 that were missing before
    assert lengths(filled(cache)) == (11, 7)


def test_a_reset_forgets_what_is_missing_with_what_is_held():
    class Cleared(DynamicLayer):
        """As some releases of transformers reset a layer, and others do not."""

        def reset(self):
            self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]

    class Zeroed(DynamicLayer):
        def reset(self):
            self.keys.zero_()

    for kind, left in ((Cleared, (0, 0)), (Zeroed, (10, 7))):
        cache = Cache(layers=[kind() for _ in range(3)])
        leave_out(cache, 3)
        filled(cache).layers[0].reset()
        assert lengths(cache) == left
        assert cache.layers[0].missing == left[0] - left[1]


def test_layers_that_a_cache_makes_later_are_made_to_be_told():
    cache = Cache(layer_class_to_replicate=DynamicLayer)
    assert cache.layers == []
    leave_out(cache, 3)
    assert len(cache.layers) == 1
    assert lengths(filled(cache)) == (10, 7)


@pytest.mark.parametrize("layers", [None, [], [7], [object()]])
def test_what_cannot_be_told_is_refused_by_name(layers):
    class Odd:
        pass

    odd = Odd()
    odd.layers = layers
    with pytest.raises(InstrumentError, match="layer 0 of a Odd") as caught:
        leave_out(odd, 3)
    assert caught.value.hint


# What is dropped -----------------------------------------------------------------------------


@pytest.mark.mode(
    "a drop at layer 0, of the decoder's input", "works", "by methods that look at no earlier layer"
)
@pytest.mark.parametrize("method", ["random", "uniform"])
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", BATCHES)
def test_it_equals_the_masked_oracle(attn, shape, method):
    model, inputs = make_llava(6, attn), BATCHES[shape]()
    dropped = asked(model, inputs, method)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(model, padding, dropped):
        wanted, tokens = decode(model, inputs, 8)
    with entering(model, method=method) as trace:
        got, _ = decode(model, inputs, 8, tokens)
    assert [event.layer for event in trace.events] == [0, 3]
    counts = [len(tokens) for tokens in vision(inputs)]
    assert trace.events[0].before == tuple(counts)
    assert trace.events[0].after == tuple(n // 2 for n in counts)
    survivors = inputs["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, columns in enumerate(rows):
            survivors[b, list(columns)] = False
    torch.testing.assert_close(got[0][survivors], wanted[0][survivors], **TOLERANCE)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    dense, _ = decode(model, inputs, 8, tokens)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing


def test_uniform_keeps_the_middles_of_equal_stretches_at_their_prompt_positions():
    model, inputs = make_llava(4), one_prompt()
    with entering(model, "0:9t", "uniform") as trace, torch.no_grad():
        model(**inputs)
    first = inputs["input_ids"][0].tolist().index(IMAGE)
    assert trace.events[0].kept == (tuple(first + 2 + 4 * i for i in range(9)),)


@pytest.mark.parametrize("schedule", ["0:1", "0:100%,2:999t"])
def test_keeping_everything_is_bit_identical_and_leaves_the_cache_alone(schedule):
    model, inputs = make_llava(4), mixed_batch("left")
    plain, tokens = decode(model, inputs, 3)
    cache = DynamicCache(config=model.config)
    with entering(model, schedule) as trace:
        hooked, _ = decode(model, inputs, 3, tokens)
        with torch.no_grad():
            model(**inputs, **{CACHE: cache}, use_cache=True)
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))
    assert type(cache.layers[0]) is type(cache.layers[1]) is DynamicLayer


def test_nothing_of_a_prompt_may_be_left_but_its_text():
    model, inputs = make_llava(4), one_prompt()
    blank = {**inputs, "pixel_values": -inputs["pixel_values"]}
    with entering(model, "0:0"):
        outs = [model.generate(**given, **GREEDY) for given in (inputs, blank)]
    assert torch.equal(*outs)
    assert not torch.equal(*(model.generate(**given, **GREEDY) for given in (inputs, blank)))


def test_dropped_positions_read_zero_and_shapes_stay():
    model, inputs = make_llava(4), one_prompt()
    with entering(model, "0:0.5") as trace, torch.no_grad():
        hidden = model.model(**inputs).last_hidden_state
    left = set(trace.events[0].kept[0])
    empty = (hidden[0] == 0).all(-1)
    assert hidden.shape[:2] == inputs["input_ids"].shape
    assert empty.nonzero()[:, 0].tolist() == [i for i in vision(inputs)[0] if i not in left]


# Positions -----------------------------------------------------------------------------------


def test_the_cache_tells_the_length_of_the_sequence_and_holds_less():
    model, inputs = make_llava(6), one_prompt()
    n = inputs["input_ids"].shape[1]
    for cache in (DynamicCache(config=model.config), DynamicCache()):
        with entering(model), torch.no_grad():
            model(**inputs, **{CACHE: cache}, use_cache=True)
            assert (cache.get_seq_length(), held_at_entry(cache)) == (n, n - PATCHES // 2)
            second_turn(model, cache, inputs, [7, 8])
        assert (cache.get_seq_length(), held_at_entry(cache)) == (n + 2, n + 2 - PATCHES // 2)
        assert cache.layers[0].keys.shape[-2] == cache.layers[1].keys.shape[-2]
        assert isinstance(cache.layers[0], DynamicLayer)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_later_tokens_are_at_their_own_positions_though_nobody_says_which(attn):
    """Neither position ids nor masks are given; the model counts by its cache's length."""
    model, inputs = make_llava(6, attn), one_prompt()
    bare = {"input_ids": inputs["input_ids"], "pixel_values": inputs["pixel_values"]}
    dropped, logits = asked(model, inputs), []
    n = inputs["input_ids"].shape[1]
    for context in (entering(model), masked(model, torch.ones(1, n + 4), dropped)):
        cache = DynamicCache(config=model.config)
        with context, torch.no_grad():
            model(**bare, **{CACHE: cache}, use_cache=True)
            logits.append(
                [
                    model(input_ids=torch.tensor([ids]), **{CACHE: cache}, use_cache=True).logits
                    for ids in ([7], [8, 9], [10])
                ]
            )
    for got, wanted in zip(*logits, strict=True):
        torch.testing.assert_close(got, wanted, **TOLERANCE)


@pytest.mark.mode(
    "a drop at layer 0, of the decoder's input", "works", "by methods that look at no earlier layer"
)
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "num_beams": 3},
        {"do_sample": True, "top_k": 10, "temperature": 1.5},
        {"do_sample": True, "num_return_sequences": 2},
        {"do_sample": True, "num_beams": 2, "num_return_sequences": 2},
    ],
    ids=["greedy", "beams", "sampling", "sequences", "sampled beams"],
)
def test_generate_equals_the_oracle_under_the_same_seed(attn, options):
    # One image a row at most: transformers 5.17 deals the images of a row out to its beams.
    rows = [row(3, 1, 5, 0), row(2, 1, 4, 1), row(9, 0, 3, 2), row(11, 1, 2, 3)]
    model, inputs = make_llava(6, attn), batch(rows, "left")
    copies = max(options.get("num_beams", 1), options.get("num_return_sequences", 1))
    dropped = {
        layer: [row for row in rows for _ in range(copies)]
        for layer, rows in asked(model, inputs).items()
    }
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 40), value=1)
    options = {**options, "max_new_tokens": 6}
    torch.manual_seed(7)
    with masked(model, padding.repeat_interleave(copies, 0), dropped):
        wanted = model.generate(**inputs, **options)
    torch.manual_seed(7)
    with entering(model):
        got = model.generate(**inputs, **options)
    assert torch.equal(got, wanted)


def test_drafts_are_cropped_off_the_shortened_cache():
    model, inputs = make_llava(6), one_prompt()
    padding = torch.ones(1, inputs["input_ids"].shape[1] + 40)
    greedy = {"do_sample": False, "max_new_tokens": 12}
    with masked(model, padding, asked(model, inputs)):
        wanted = model.generate(**inputs, **greedy)
    with entering(model):
        for more in ({"prompt_lookup_num_tokens": 3}, {"assistant_model": make_llava(2, seed=3)}):
            assert torch.equal(model.generate(**inputs, **greedy, **more), wanted)


def test_generate_without_a_cache_drops_at_every_step_alike():
    model, inputs = make_llava(6), one_prompt()
    with entering(model, method="uniform"):
        cached = model.generate(**inputs, **GREEDY)
        uncached = model.generate(**inputs, **GREEDY, use_cache=False)
    assert torch.equal(cached, uncached)


# Several turns -------------------------------------------------------------------------------


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("images", [0, 1])
@pytest.mark.parametrize("start", [0, 1])
def test_a_later_turn_equals_the_masked_oracle(attn, images, start):
    """A first turn with a picture or without one, a second likewise, and a third of text."""
    model, first = make_llava(6, attn), batch([row(3, start, 5, 0)])
    ids = row(2, images, 3, 50)
    n, m = first["input_ids"].shape[1], len(ids)
    alive = {0: vision(first)[0], n: [n + i for i, t in enumerate(ids) if t == IMAGE]}

    def turns():
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(**first, **{CACHE: cache}, use_cache=True)
        got = second_turn(model, cache, first, ids, images)
        return got, second_turn(model, cache, {"input_ids": torch.zeros(1, n + m)}, [7])

    with entering(model) as trace:
        got, third = turns()
    assert len(trace.events) == 2 * (start + images)
    dropped = {0: [set()], 3: [set()]}
    for event in trace.events:
        kept = set(event.kept[0])
        turn = n if min(kept) >= n else 0
        assert kept <= set(alive[turn])
        dropped[event.layer][0] |= set(alive[turn]) - kept
        alive[turn] = sorted(kept)
    with masked(model, torch.ones(1, n + m + 1), dropped):
        wanted, wanted_third = turns()
    text = torch.tensor([t != IMAGE for t in ids])
    torch.testing.assert_close(got[:, text], wanted[:, text], **TOLERANCE)
    torch.testing.assert_close(third, wanted_third, **TOLERANCE)


# To Unlimited-OCR a second turn is a part of the answer, and not what a fresh prompt is.
TURNS = [name for name, case in CASES.items() if case.entry and name != "unlimited_ocr"]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", TURNS)
def test_turns_through_generate_with_a_reused_cache(name):
    """transformers leaves out of the second prompt what the cache says that it has seen."""
    case = CASES[name]
    model = case.make("sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    options = {
        **GREEDY,
        "suppress_tokens": list(range(FIRST_WORD)),  # a placeholder would need pixels
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    with entering(model, schedule_text(case.entry)) as trace:
        first = model.generate(**inputs, **options)
        assert len(trace.events) == 2
        ids = torch.cat([first.sequences, torch.tensor([[19, 20, 21]])], dim=1)
        again = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        more = ids.shape[1] - inputs["input_ids"].shape[1]
        for key, fill in (("mm_token_type_ids", 0), ("token_type_ids", int(case.prefix))):
            if key in inputs:
                again[key] = torch.nn.functional.pad(inputs[key], (0, more), value=fill)
        fresh = model.generate(**again, **options)
        text = {k: again[k] for k in ("input_ids", "attention_mask")}
        # The fresh prompt has left its own position offsets in M-RoPE models: the same ones.
        second = model.generate(**text, **{CACHE: first[CACHE]}, **options)
    assert len(trace.events) == 4
    assert torch.equal(second.sequences, fresh.sequences)
    torch.testing.assert_close(second.logits, fresh.logits, **TOLERANCE)


@pytest.mark.parametrize(("cut", "allowed"), [(5, True), (10, True), (11, False), (30, False)])
def test_crops_into_the_trailing_text_are_followed_and_deeper_ones_refused(cut, allowed):
    model, first = make_llava(6), batch([row(20, 1, 9, 4)])
    n = first["input_ids"].shape[1]
    cache = DynamicCache(config=model.config)
    kept = {"input_ids": torch.zeros(1, n - cut)}
    with entering(model), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        crop(cache, n - cut)
        if not allowed:
            with pytest.raises(InstrumentError, match=r"cropped|outside"):
                second_turn(model, cache, kept, [7, 8])
            return
        got = second_turn(model, cache, kept, [7, 8])
        again = torch.cat([first["input_ids"][:, : n - cut], torch.tensor([[7, 8]])], 1)
        fresh = model(input_ids=again, pixel_values=first["pixel_values"]).logits
    torch.testing.assert_close(got, fresh[:, -2:], **TOLERANCE)


@pytest.mark.parametrize("schedule", ["0:0.2", "0:0.2,2:0.5"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_crop_that_would_empty_the_shortened_cache_is_refused_and_takes_nothing(schedule, inside):
    """55 columns, of which layer 0 holds 26: a crop to the text before the picture leaves none."""
    model, first = make_llava(4), batch([row(14, 1, 3, 0)])
    cache = DynamicCache(config=model.config)

    def crops():
        for amount in (-26, -30, -40, -54, 1, 15, 29):  # positive: the length to be left, in 5.17
            with pytest.raises(InstrumentError, match="cropped into a prompt"):
                cache.crop(amount)
        assert (cache.get_seq_length(), held_at_entry(cache)) == (55, 26)
        assert cache.get_seq_length(1) == 26

    with entering(model, schedule), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        if inside:
            crops()
            got = second_turn(model, cache, first, [7])
            fresh = DynamicCache(config=model.config)
            model(**first, **{CACHE: fresh}, use_cache=True)
            assert torch.equal(got, second_turn(model, fresh, first, [7]))
    if not inside:
        crops()


@pytest.mark.parametrize("amount", [-55, -60])
def test_a_crop_of_the_whole_sequence_starts_over(amount):
    model, first = make_llava(4), batch([row(14, 1, 3, 0)])
    cache, text = DynamicCache(config=model.config), torch.tensor([[1, 7, 8, 9]])
    with entering(model, "0:0.2"), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        cache.crop(amount)
        assert cache.get_seq_length() == 0
        got = model(input_ids=text, **{CACHE: cache}, use_cache=True).logits
        assert cache.get_seq_length() == 4
    torch.testing.assert_close(got, model(input_ids=text).logits, **TOLERANCE)


def test_the_cache_s_own_crop_takes_trailing_text_off_every_layer():
    model, first = make_llava(4), batch([row(14, 1, 3, 0)])
    cache = DynamicCache(config=model.config)
    with entering(model, "0:0.2,2:0.5"), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        cache.crop(-3)
        assert [cache.get_seq_length(layer) for layer in range(4)] == [52, 23, 19, 19]
        kept = {"input_ids": torch.zeros(1, 52)}
        got = second_turn(model, cache, kept, [7, 8])
        again = torch.cat([first["input_ids"][:, :52], torch.tensor([[7, 8]])], 1)
        fresh = model(input_ids=again, pixel_values=first["pixel_values"]).logits
    torch.testing.assert_close(got, fresh[:, -2:], **TOLERANCE)


@pytest.mark.parametrize("how", ["reset", "crop"])
def test_an_emptied_cache_starts_over(how):
    """With text, which drops nothing: what was missing before must not be counted again."""
    model, inputs = make_llava(6), one_prompt()
    cache, text = DynamicCache(config=model.config), torch.tensor([[1, 7, 8, 9]])
    with entering(model), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        if how == "reset":
            cache.reset()
            if cache.get_seq_length():
                pytest.skip("this version of transformers writes zeros and keeps the length")
        else:
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys[:, :, :0], layer.values[:, :, :0]
        assert cache.get_seq_length() == 0
        got = model(input_ids=text, **{CACHE: cache}, use_cache=True).logits
        assert cache.get_seq_length() == 4
    torch.testing.assert_close(got, model(input_ids=text).logits, **TOLERANCE)


@pytest.mark.parametrize("rows", [1, 2])
def test_after_the_context_the_cache_still_tells_where_the_next_token_is(rows):
    """Rows without padding or filler need no masks: they go on as if the context were open."""
    model, inputs = make_llava(6), batch([row(3, 1, 5, seed) for seed in range(rows)])
    n, logits = inputs["input_ids"].shape[1], []
    ids, mask = torch.tensor([[7]] * rows), torch.ones(rows, n + 1, dtype=torch.long)

    def next_token(cache):
        given = {"input_ids": ids, "attention_mask": mask, CACHE: cache}
        with torch.no_grad():
            return model(**given, use_cache=True).logits

    for inside in (True, False):
        cache = DynamicCache(config=model.config)
        with entering(model), torch.no_grad():
            model(**inputs, **{CACHE: cache}, use_cache=True)
            if inside:
                logits.append(next_token(cache))
        if not inside:
            logits.append(next_token(cache))
        assert cache.get_seq_length() == n + 1
    torch.testing.assert_close(*logits, **TOLERANCE)


@pytest.mark.parametrize("schedule", [ENTRY, "1:0.5", "2:0.5", "4:0.5"])
def test_such_a_cache_in_another_context_is_refused(schedule):
    model, inputs = make_llava(6), one_prompt()
    cache = DynamicCache(config=model.config)
    with entering(model), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        for twin in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
            assert twin.get_seq_length() == cache.get_seq_length()
            with pytest.raises(InstrumentError, match="outside"):
                second_turn(model, twin, inputs, [7])
    with entering(model, schedule), pytest.raises(InstrumentError, match="outside"):
        second_turn(model, cache, inputs, [7])


@pytest.mark.parametrize("schedule", ["0:0.5", ENTRY])
def test_a_cache_rebuilt_from_such_a_ones_tensors_is_refused_by_the_attention_mask(schedule):
    model, inputs = make_llava(6), one_prompt()
    cache, twin = DynamicCache(config=model.config), DynamicCache()
    with entering(model, schedule), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        for number, layer in enumerate(cache.layers):
            twin.update(layer.keys.clone(), layer.values.clone(), number)
        with pytest.raises(InstrumentError, match="outside"):
            second_turn(model, twin, inputs, [7])
        second_turn(model, cache, inputs, [7])


@pytest.mark.parametrize("schedule", ["0:0.5,3:0.3", "2:0.5"])
@pytest.mark.parametrize("length", [43, 45])
def test_a_crop_to_a_length_that_leaves_short_layers_as_they_are_is_refused(schedule, length):
    """transformers 5.17 cuts all layers to one length, of which the short ones hold less."""
    model, inputs = make_llava(6), one_prompt()
    cache = DynamicCache(config=model.config)
    n = inputs["input_ids"].shape[1]
    with entering(model, schedule), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        for number, layer in enumerate(cache.layers):
            cut = max(0, cache.get_seq_length(number) - length) if number else n - length
            left = layer.keys.shape[-2] - cut
            layer.keys, layer.values = layer.keys[:, :, :left], layer.values[:, :, :left]
        with pytest.raises(InstrumentError, match=r"outside|cropped"):
            second_turn(model, cache, {"input_ids": torch.zeros(1, length)}, [7])


@pytest.mark.parametrize("schedule", ["0:0.5,3:0.3", "2:0.5"])
def test_a_forward_that_failed_half_way_leaves_a_cache_that_is_refused(schedule):
    model, inputs = make_llava(6), one_prompt()
    cache = DynamicCache(config=model.config)

    def fails(*args):
        raise RuntimeError("full")

    with entering(model, schedule), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        layer = model.model.language_model.layers[4]
        handle = layer.self_attn.register_forward_pre_hook(fails)
        with pytest.raises(RuntimeError, match="full"):
            second_turn(model, cache, inputs, [7, 8])
        handle.remove()
        with pytest.raises(InstrumentError, match="outside"):
            second_turn(model, cache, inputs, [7, 8])


# Refused -------------------------------------------------------------------------------------


class Compares(Method):
    name, paper, needs = "mine", "none", frozenset({PREVIOUS_HIDDEN})


@pytest.mark.mode("a drop at layer 0 by a method that compares with the layer before", "refused")
@pytest.mark.parametrize(
    ("method", "name"),
    [("v2drop", "v2drop"), ("v2drop-cosine", "v2drop-cosine"), (Compares(), "mine")],
)
def test_methods_that_compare_with_the_layer_before_are_refused_by_name(method, name):
    with (
        pytest.raises(ScheduleError, match=f"^{name} cannot drop at layer 0") as caught,
        v2drop.dropping(make_llava(4), ENTRY, method=method),
    ):
        pass
    assert "layer 1" in caught.value.hint


@pytest.mark.mode("a drop at layer 0 in Qwen3-VL", "refused", "DeepStack needs the whole prompt")
@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "cosmos3_omni"])
def test_models_that_need_the_whole_prompt_at_first_say_why(name):
    with (
        pytest.raises(ScheduleError, match=r"before layer 3 \(asked: 0\): DeepStack") as caught,
        entering(CASES[name].make("sdpa")),
    ):
        pass
    assert "layers 3 to 5" in caught.value.hint


def test_static_caches_are_refused_by_name():
    model, inputs = make_llava(4), one_prompt()
    cache = StaticCache(config=model.config, max_cache_len=100)
    with entering(model), pytest.raises(InstrumentError, match="StaticCache"), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)


def test_a_cache_that_is_not_made_of_layers_is_refused():
    class Plain:
        """As little of a cache as a model needs."""

        def __init__(self):
            self.held = {}

        def get_seq_length(self, layer=0):
            return self.held[layer][0].shape[-2] if layer in self.held else 0

        def get_query_offset(self, layer=0):
            return self.get_seq_length(layer)

        def get_mask_sizes(self, width, layer):
            return self.get_seq_length(layer) + width, 0

        def update(self, keys, values, layer, *args, **kwargs):
            if layer in self.held:
                keys = torch.cat([self.held[layer][0], keys], -2)
                values = torch.cat([self.held[layer][1], values], -2)
            self.held[layer] = keys, values
            return self.held[layer]

    model, inputs = make_llava(4), one_prompt()
    with torch.no_grad():
        with v2drop.dropping(model, "1:0.5") as trace:
            model(**inputs, **{CACHE: Plain()}, use_cache=True)
        assert trace.events
        with entering(model), pytest.raises(InstrumentError, match="layer 0 of a Plain"):
            model(**inputs, **{CACHE: Plain()}, use_cache=True)


def test_types_of_layers_with_a_name_are_not_entered_into_transformers_table_again():
    from transformers import cache_utils

    class Named(DynamicLayer):
        _layer_type = "named by a test"

    table = cache_utils.DYNAMIC_LAYER_TYPE_MAPPING
    try:
        model, inputs = make_llava(4), one_prompt()
        cache = Cache(layers=[Named() for _ in range(4)])
        with entering(model), torch.no_grad():
            model(**inputs, **{CACHE: cache}, use_cache=True)
        assert held_at_entry(cache) < cache.get_seq_length()
        assert table["named by a test"] is Named
    finally:
        table.pop("named by a test", None)
