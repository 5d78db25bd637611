"""The context manager on a model's own generate: identity, generation modes, turns, clean-up."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import weakref
from typing import ClassVar

import pytest
import torch
from transformers import DynamicCache, StaticCache, TextStreamer
from transformers.modeling_outputs import BaseModelOutputWithPooling

import v2drop_cli as v2drop
from tests.instrument.test_oracle import STAGES, TOLERANCE, decode
from tests.methods.toys import Once
from tests.oracle import define_drops, masked
from tests.release import CACHE
from tests.tiny_llava import (
    EOS,
    IMAGE,
    PATCHES,
    batch,
    make_llava,
    mixed_batch,
    one_prompt,
    pictures,
    row,
)
from v2drop_cli.errors import (
    InstrumentError,
    ScheduleError,
    UnknownNameError,
    UnsupportedModelError,
    V2DropError,
)
from v2drop_cli.methods.base import EMBEDDINGS, GRIDS, TOWER, Kept, Method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.registry import get_family
from v2drop_cli.schedule import Schedule

SCHEDULE = "3:0.5,17:0.5,22:1t"
SHORT = "1:0.5,6:0.3,8:0"


def hook_tables(model):
    """Every hook dict of every module, as comparable values."""
    names = [n for n in vars(model) if n.endswith("_hooks") or "_hooks_" in n]
    return {
        (path, name): dict(getattr(module, name))
        for path, module in model.named_modules()
        for name in names
        if getattr(module, name, None) is not None
    }


# The parts of a context ----------------------------------------------------------------------


def kept_by(model, **options):
    with v2drop.dropping(model, "1:0.5", **options) as trace, torch.no_grad():
        getattr(model, "model", model)(**one_prompt())
    return trace.events[0].kept


def test_the_seed_is_0_unless_told():
    model = make_llava(3)
    drawn = [kept_by(model, method="random", **seed) for seed in ({}, {"seed": 0}, {"seed": -1})]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_schedule_may_be_text_an_object_or_the_methods_own():
    model, schedule = make_llava(3), Schedule.parse("1:0.5")
    for given in ("1:0.5", schedule):
        with v2drop.dropping(model, given) as trace, torch.no_grad():
            model(**one_prompt())
        assert [(event.layer, event.after) for event in trace.events] == [(1, (18,))]
    with v2drop.dropping(model, method=Once(layer=2)) as trace, torch.no_grad():
        model(**one_prompt())
    assert [(event.layer, event.after) for event in trace.events] == [(2, (9,))]


def loaded_of(model, allow_unproven=False):
    family = get_family("llava")
    plain = (model, None, family, torch.device("cpu"), model.dtype, "", None, "dummy")
    return LoadedModel(*plain, allow_unproven=allow_unproven)


def test_a_loaded_model_is_taken_apart_and_may_permit_what_is_unproven():
    model = make_llava(3)
    assert kept_by(loaded_of(model)) == kept_by(model)
    model.config.text_config.model_type = "unheard_of"
    for whole in (model, loaded_of(model)):
        with pytest.raises(UnsupportedModelError, match="unheard_of"):
            v2drop.dropping(whole, "1:0.5").__enter__()
    with v2drop.dropping(loaded_of(model, True), "1:0.5"):
        pass
    with v2drop.dropping(loaded_of(model), "1:0.5", allow_unproven=True):
        pass


def hooked_parts(model):
    """Names of the modules that this package hooks."""
    kinds = ("_forward_pre_hooks", "_forward_hooks")
    return {
        path
        for path, module in model.model.named_modules()
        for kind in kinds
        for hook in getattr(module, kind).values()
        if "v2drop_cli" in type(hook).__module__
    }


class LooksUp(Method):
    name, paper = "looks-up", "a test"
    needs: ClassVar = frozenset({TOWER})
    tower_layers = (-1,)

    def score(self, ctx):
        return ctx.signals.tower(-1).hidden()[:, 0]


def test_only_what_is_looked_at_is_hooked():
    model = make_llava(6)
    base = {"", "language_model", "vision_tower", "multi_modal_projector"}
    for schedule, first in (("1:0.5", 0), ("4:0.5", 3)):
        layers = {f"language_model.layers.{i}" for i in range(first, 6)}
        with v2drop.dropping(model, schedule):
            assert hooked_parts(model) == base | layers
        with v2drop.dropping(model, schedule, method=LooksUp()):
            more = hooked_parts(model) - base - layers
        assert {name.rpartition("encoder.")[2] for name in more} == {"layers.1"}
    assert hooked_parts(model) == set()
    assert len(kept_by(model, method=LooksUp())[0]) == PATCHES // 2


def test_what_pictures_were_encoded_from_is_noted_for_those_who_look_at_grids():
    class Around(Method):
        name, paper = "around", "a test"
        needs: ClassVar = frozenset({GRIDS})

        def score(self, ctx):
            seen.append([(grid.h, grid.w) for grid in ctx.signals.grids()])
            return ctx.positions.float()

    seen, model = [], make_llava(3)
    with v2drop.dropping(model, "1:0.5", method=Around()):
        model.generate(**one_prompt(), max_new_tokens=1, do_sample=False)
    assert seen == [[(6, 6)]]
    with v2drop.dropping(model, "1:0.5"):
        assert "get_image_features" not in vars(model.model)


def test_a_cache_emptied_or_rebuilt_is_looked_at_where_layer_0_drops():
    model, inputs = make_llava(3), one_prompt()
    n, cache = inputs["input_ids"].shape[1], DynamicCache(config=model.config)
    longer = {"input_ids": torch.tensor([[7]]), "attention_mask": torch.ones(1, n + 1)}
    with v2drop.dropping(model, "0:0.5", method="uniform"), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        rebuilt = DynamicCache(config=model.config)
        for layer, held in enumerate(cache.layers):
            rebuilt.update(held.keys, held.values, layer)
        with pytest.raises(InstrumentError, match="outside this"):
            model(**longer, **{CACHE: rebuilt}, use_cache=True)
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[:, :, :0], layer.values[:, :, :0]
        model(input_ids=torch.tensor([[1, 7, 8]]), **{CACHE: cache}, use_cache=True)
        assert cache.get_seq_length() == 3


def test_the_decoder_called_with_ids_alone_is_text_however_they_come():
    model = make_llava(3)
    decoder, ids = model.model.language_model, torch.tensor([[1, 7, 8]])
    with torch.no_grad():
        wanted = decoder(ids).last_hidden_state
        with v2drop.dropping(model, "1:0.5") as trace:
            for call in (lambda: decoder(ids), lambda: decoder(input_ids=ids)):
                assert torch.equal(call().last_hidden_state, wanted)
            tuples = decoder(ids, return_dict=False)
            assert torch.equal(tuples[0], wanted)
    assert trace.events == []


def test_a_decoder_called_alone_that_raised_holds_on_to_nothing():
    class Reads(Method):
        name, paper = "reads", "a test"
        needs: ClassVar = frozenset({EMBEDDINGS})

    model, wrong = make_llava(3), torch.ones(1, 3, 5)
    held = weakref.ref(wrong)
    with v2drop.dropping(model, "1:0.5", method=Reads()), torch.no_grad():
        with contextlib.suppress(RuntimeError):
            model.model.language_model(inputs_embeds=wrong)
            pytest.fail("it takes states of another width")
        del wrong
        gc.collect()
        assert held() is None


def test_a_forward_ends_with_the_model_and_not_with_its_decoder():
    model = make_llava(3)
    again = lambda *_: model(torch.tensor([[1, 7]]))  # noqa: E731
    with v2drop.dropping(model, "1:0.5"), torch.no_grad():
        handle = model.model.language_model.register_forward_hook(again)
        with pytest.raises(InstrumentError, match="within its own forward"):
            model(**one_prompt())
        handle.remove()
        model(**one_prompt())


def test_survivors_are_numbered_anew_for_methods_that_say_so_alone():
    model, found = make_llava(3), []
    for method in ("random", "random:positions=original", "random:positions=renumbered"):
        with v2drop.dropping(model, "1:0.5", method=method), torch.no_grad():
            found.append(model(**one_prompt()).logits[:, -1])
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_outputs_as_tuples_are_put_back_too():
    model, inputs = make_llava(3), one_prompt()
    with v2drop.dropping(model, "1:0.5"), torch.no_grad():
        wanted = model.model(**inputs).last_hidden_state
        got = model.model(**inputs, return_dict=False)
    assert torch.equal(got[0], wanted)
    assert got[0].shape[1] == inputs["input_ids"].shape[1]


# Identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_keeping_everything_is_bit_identical(attn, side):
    model, inputs = make_llava(12, attn), mixed_batch(side)
    plain, tokens = decode(model, inputs, 3)
    with v2drop.dropping(model, "1:1,6:100%,8:999t") as trace:
        hooked, _ = decode(model, inputs, 3, tokens)
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))


def test_text_only_input_is_bit_identical():
    model = make_llava(12)
    inputs = batch([row(5, 0, 4, 1), row(20, 0, 4, 2)])
    plain, tokens = decode(model, inputs, 3)
    with v2drop.dropping(model, SHORT) as trace:
        hooked, _ = decode(model, inputs, 3, tokens)
    assert trace.events == []
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))


def test_a_placeholder_id_without_pixels_is_text():
    """A model may generate the placeholder's id; the next step must not drop it."""
    model, inputs = make_llava(12), one_prompt()
    inputs = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        plain = model(**inputs).logits
        with v2drop.dropping(model, SHORT):
            assert torch.equal(model(**inputs).logits, plain)


# Hooks ---------------------------------------------------------------------------------------


def test_hooks_are_there_inside_and_gone_after():
    model = make_llava(12)
    before = hook_tables(model)
    with v2drop.dropping(model, SHORT):
        assert hook_tables(model) != before
    assert hook_tables(model) == before


def test_hooks_are_gone_after_an_exception_in_the_body():
    model = make_llava(12)
    before = hook_tables(model)
    with pytest.raises(RuntimeError, match="mine"), v2drop.dropping(model, SHORT):
        raise RuntimeError("mine")
    assert hook_tables(model) == before


def test_hooks_are_gone_after_an_exception_in_the_method_and_the_model_still_works():
    class Broken(Method):
        name, paper = "broken", "none"

        def score(self, ctx):
            raise ArithmeticError("no score")

    model, inputs = make_llava(12), one_prompt()
    with torch.no_grad():
        plain = model(**inputs).logits  # transformers puts hooks of its own on at the first call
        before = hook_tables(model)
        with pytest.raises(ArithmeticError), v2drop.dropping(model, SHORT, method=Broken()):
            model(**inputs)
        assert hook_tables(model) == before
        assert torch.equal(model(**inputs).logits, plain)


def test_an_error_inside_a_forward_does_not_spoil_the_next_one():
    class OnceBroken(Method):
        name, paper = "once", "none"
        broken = True

        def score(self, ctx):
            if self.broken:
                raise ArithmeticError
            return ctx.positions.float()

    model, inputs, method = make_llava(12), one_prompt(), OnceBroken()
    with v2drop.dropping(model, "1:0.5", method=method) as trace, torch.no_grad():
        with pytest.raises(ArithmeticError):
            model(**inputs)
        method.broken = False
        model(**inputs)
    assert [event.after for event in trace.events] == [(PATCHES // 2,)]


def test_two_models_at_once_and_one_model_twice():
    first, second, inputs = make_llava(12), make_llava(12, seed=1), one_prompt()
    with v2drop.dropping(first, SHORT) as one, v2drop.dropping(second, SHORT) as two:
        with torch.no_grad():
            first(**inputs)
        assert len(one.events) == 3
        assert two.events == []
        with pytest.raises(InstrumentError, match="already"), v2drop.dropping(first, SHORT):
            pass
        with torch.no_grad():
            first(**inputs)
        assert len(one.events) == 6
        one.clear()
        assert one.events == []


def test_the_context_lets_go_of_the_model_and_its_tensors():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT) as trace, torch.no_grad():
        model(**inputs)
    assert isinstance(trace.events[0].kept[0][0], int)
    gc.collect()
    holders = [o for o in gc.get_objects() if type(o).__name__ == "DropState"]
    assert holders == []


# Generation ----------------------------------------------------------------------------------


def oracle_generate(model, inputs, **options):
    """generate() on the dense model with the dropped tokens masked, rows repeated as it does."""
    copies = options.get("num_beams", options.get("num_return_sequences", 1))
    copies = max(copies, options.get("num_return_sequences", 1))
    dropped, _ = define_drops(model, inputs, STAGES)
    dropped = {
        layer: [gone for gone in rows for _ in range(copies)] for layer, rows in dropped.items()
    }
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 40), value=1)
    with masked(model, padding.repeat_interleave(copies, 0), dropped):
        return model.generate(**inputs, **options)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, marks=pytest.mark.mode(mode, "works"), id=mode)
        for mode, options in {
            "greedy": {"do_sample": False},
            "beam search": {"do_sample": False, "num_beams": 3},
            "sampling": {"do_sample": True, "top_k": 10, "temperature": 1.5},
            "`num_return_sequences`": {"do_sample": True, "num_return_sequences": 2},
            "sampled beams": {"do_sample": True, "num_beams": 2, "num_return_sequences": 2},
        }.items()
    ],
)
def test_generate_equals_the_oracle_under_the_same_seed(attn, options):
    # One image a row at most: transformers 5.17 deals the images of a row out to its beams.
    rows = [row(3, 1, 5, 0), row(2, 1, 4, 1), row(9, 0, 3, 2), row(11, 1, 2, 3)]
    model, inputs = make_llava(attn=attn), batch(rows, "left")
    options = {**options, "max_new_tokens": 6}
    torch.manual_seed(7)
    wanted = oracle_generate(model, inputs, **options)
    torch.manual_seed(7)
    with v2drop.dropping(model, SCHEDULE):
        got = model.generate(**inputs, **options)
    assert torch.equal(got, wanted)


@pytest.mark.mode("`use_cache=False`", "works", "every step drops again")
def test_generate_without_a_cache_drops_at_every_step_alike():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT) as trace:
        cached = model.generate(**inputs, do_sample=False, max_new_tokens=5)
        trace.clear()
        uncached = model.generate(**inputs, do_sample=False, max_new_tokens=5, use_cache=False)
    # Later tokens see the same survivors: scores of vision tokens do not depend on later text.
    assert torch.equal(cached, uncached)
    assert len({event.kept for event in trace.events if event.layer == 1}) == 1


@pytest.mark.mode("streaming (`TextStreamer`)", "works")
def test_streaming():
    class Collect(TextStreamer):
        def __init__(self):
            self.ids = []

        def put(self, value):
            self.ids.append(value)

        def end(self):
            self.ids.append(None)

    model, inputs, streamer = make_llava(12), one_prompt(), Collect()
    with v2drop.dropping(model, SHORT):
        out = model.generate(**inputs, do_sample=False, max_new_tokens=4, streamer=streamer)
    assert streamer.ids[-1] is None
    streamed = torch.cat([ids.reshape(-1) for ids in streamer.ids[:-1]])
    assert torch.equal(streamed, out[0])


def test_re_prefill_gives_the_log_probabilities_of_generation():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT):
        out = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=6,
            output_logits=True,
            return_dict_in_generate=True,
        )
        with torch.no_grad():
            again = model(
                input_ids=out.sequences[:, :-1], pixel_values=inputs["pixel_values"]
            ).logits
    step_by_step = torch.stack(out.logits, dim=1).log_softmax(-1)
    torch.testing.assert_close(again[:, -6:].log_softmax(-1), step_by_step, **TOLERANCE)


def test_dropped_positions_read_zero_and_shapes_stay():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT), torch.no_grad():
        out = model.model(**inputs)
    hidden = out.last_hidden_state
    is_vision = inputs["input_ids"] == IMAGE
    assert hidden.shape[:2] == inputs["input_ids"].shape
    assert (hidden[is_vision] == 0).all()
    assert (hidden[~is_vision] != 0).any(-1).all()
    with v2drop.dropping(model, SHORT), torch.no_grad():
        as_tuple = model.model(**inputs, return_dict=False)
    assert torch.equal(as_tuple[0], hidden)


@pytest.mark.mode("training step", "works", "the choice of tokens has no gradient")
def test_training_works_through_the_hooks():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT):
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
    grad = model.model.language_model.layers[11].mlp.up_proj.weight.grad
    assert grad is not None
    assert grad.abs().sum() > 0


# Caches --------------------------------------------------------------------------------------


def cache_lengths(cache, n_layers=12):
    return [cache.get_seq_length(layer) for layer in range(n_layers)]


def test_each_layers_cache_is_born_short():
    model, inputs = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
    text = int((inputs["input_ids"] != IMAGE).sum())
    after = [36, *[18] * 5, *[5] * 2, *[0] * 4]
    assert cache_lengths(cache) == [text + n for n in after]


def second_turn(model, cache, first, ids, images=0, drop=None):
    """Feed `ids` after `first` on `cache`; returns the logits."""
    mask = torch.ones(1, first["input_ids"].shape[1] + len(ids), dtype=torch.long)
    extra = {"pixel_values": pictures(images, 9)} if images else {}
    with torch.no_grad():
        return model(
            input_ids=torch.tensor([ids]),
            attention_mask=mask,
            **{CACHE: cache},
            use_cache=True,
            **extra,
        ).logits


@pytest.mark.mode("several turns on one cache, with new images or without", "works")
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("images", [0, 1])
def test_a_second_turn_equals_the_masked_oracle(attn, images):
    """New images are dropped by the schedule, old tokens stay as they are."""
    model, first = make_llava(12, attn), one_prompt()
    ids = row(2, images, 3, 50)
    schedule, stages = "1:0.5,6:0.25,8:1t", [(1, 0.5), (6, 0.25), (8, 1)]
    with v2drop.dropping(model, schedule) as trace:
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(**first, **{CACHE: cache}, use_cache=True)
        trace.clear()
        got = second_turn(model, cache, first, ids, images)
        third = second_turn(
            model, cache, {"input_ids": torch.zeros(1, first["input_ids"].shape[1] + len(ids))}, [7]
        )
    assert len(trace.events) == (3 if images else 0)

    # The oracle: turn 1's drops by definition; turn 2's as the trace says, checked for layer 1.
    dropped, _ = define_drops(model, first, stages)
    offset, total = first["input_ids"].shape[1], first["input_ids"].shape[1] + len(ids)
    new = {offset + i for i, t in enumerate(ids) if t == IMAGE}
    alive = new
    for event in trace.events:
        kept = set(event.kept[0])
        assert kept <= alive
        dropped[event.layer][0] |= alive - kept
        alive = kept
    cache = DynamicCache(config=model.config)
    with masked(model, torch.ones(1, total + 1), dropped), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        wanted = second_turn(model, cache, first, ids, images)
        wanted_third = second_turn(model, cache, {"input_ids": torch.zeros(1, total)}, [7])
    text = torch.tensor([t != IMAGE for t in ids])
    torch.testing.assert_close(got[:, text], wanted[:, text], **TOLERANCE)
    torch.testing.assert_close(third, wanted_third, **TOLERANCE)


@pytest.mark.mode("several turns on one cache, with new images or without", "works")
def test_turns_through_generate_with_a_reused_cache():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT) as trace:
        first = model.generate(
            **inputs, do_sample=False, max_new_tokens=4, return_dict_in_generate=True
        )
        events = len(trace.events)
        ids = torch.cat([first.sequences, torch.tensor([[9, 10, 11]])], dim=1)
        second = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **{CACHE: first[CACHE]},
            do_sample=False,
            max_new_tokens=4,
        )
        fresh = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=inputs["pixel_values"],
            do_sample=False,
            max_new_tokens=4,
        )
    assert len(trace.events) == events + 3  # the second turn dropped nothing, the fresh one did
    assert torch.equal(second, fresh)


def test_a_cropped_cache_is_followed():
    """Rolling back generated tokens (assisted decoding does) leaves the prompt's columns."""
    model, inputs = make_llava(12), mixed_batch("left")
    with v2drop.dropping(model, SHORT):
        wanted, tokens = decode(model, inputs, 2)
        cache = DynamicCache(config=model.config)
        mask = inputs["attention_mask"]
        at = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            model(**inputs, position_ids=at, **{CACHE: cache}, use_cache=True)
            longer = torch.cat([mask, mask.new_ones(4, 3)], 1)
            junk = torch.full((4, 3), 5)
            ahead = at[:, -1:] + torch.arange(1, 4)
            model(input_ids=junk, attention_mask=longer, position_ids=ahead, **{CACHE: cache})
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys[:, :, :-3], layer.values[:, :, :-3]
            got = model(
                input_ids=tokens[0][:, None],
                attention_mask=torch.cat([mask, mask.new_ones(4, 1)], 1),
                position_ids=at[:, -1:] + 1,
                **{CACHE: cache},
            ).logits
    torch.testing.assert_close(got, wanted[1], **TOLERANCE)


@pytest.mark.mode("a first turn without dropping, then one with", "works")
def test_a_dense_first_turn_then_dropping():
    model, first = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
    with v2drop.dropping(model, SHORT) as trace:
        second_turn(model, cache, first, row(2, 1, 3, 50), 1)
    assert trace.events[-1].after == (0,)
    assert min(trace.events[0].kept[0]) >= first["input_ids"].shape[1]


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.mode('`cache_implementation="static"`', "refused", "one length for all layers")
def test_static_caches_are_refused_by_name():
    model, inputs = make_llava(12), one_prompt()
    cache = StaticCache(config=model.config, max_cache_len=100)
    with (
        v2drop.dropping(model, SHORT),
        pytest.raises(InstrumentError, match="StaticCache"),
        torch.no_grad(),
    ):
        model(**inputs, **{CACHE: cache}, use_cache=True)
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="StaticCache"):
        model.generate(**inputs, cache_implementation="static", max_new_tokens=2)


@pytest.mark.mode("4-D attention masks", "refused")
def test_a_four_dimensional_mask_is_refused():
    model, inputs = make_llava(12), one_prompt()
    n = inputs["input_ids"].shape[1]
    inputs["attention_mask"] = torch.zeros(1, 1, n, n)
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="2-D"):
        model(**inputs)


@pytest.mark.mode(
    "an attention function of yours", "works", "without a mask function: rows of equal length only"
)
def test_attention_functions_of_the_users_own():
    """Without a mask function only rows of equal length can be served, and only those are."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    seen = []

    def recording(module, query, key, value, attention_mask, **kwargs):
        seen.append((query.shape[2], key.shape[2], attention_mask, kwargs.get("position_ids")))
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

    AttentionInterface.register("recording", recording)
    model, inputs = make_llava(12), one_prompt()
    with torch.no_grad():
        with v2drop.dropping(model, SHORT):
            wanted = model(**inputs).logits
        model.model.language_model.set_attn_implementation("recording")
        with v2drop.dropping(model, SHORT):
            got = model(**inputs).logits
    torch.testing.assert_close(got, wanted)
    text = int((inputs["input_ids"] != IMAGE).sum())
    assert [q - text for q, *_ in seen] == [36, *[18] * 5, *[5] * 2, *[0] * 4]
    for query, key, mask, at in seen:
        assert query == key
        assert mask is None
        # A row of gapped positions would read as packed sequences to flash kernels.
        assert at is None or at.diff().eq(1).all()
    ragged = mixed_batch("left")
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="recording"):
        model(**ragged)


@pytest.mark.mode("a cache filled in another `dropping` context", "refused")
def test_a_cache_shortened_by_another_context_is_refused():
    model, first = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="outside"):
        second_turn(model, cache, first, row(2, 1, 3, 50), 1)


@pytest.mark.mode("`inputs_embeds` with pixels", "refused")
def test_embeddings_with_pixels_are_refused():
    model, inputs = make_llava(12), one_prompt()
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="input_ids"):
        model(inputs_embeds=embeds, pixel_values=inputs["pixel_values"])


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("40:0.5", "does not exist"),
        ("0:0.5", "v2drop cannot drop at layer 0"),
        ("", "empty"),
        ("3:nan", "outside"),
    ],
)
def test_bad_schedules(schedule, said):
    with pytest.raises(ScheduleError, match=said), v2drop.dropping(make_llava(12), schedule):
        pass


def test_unknown_methods_and_models():
    with (
        pytest.raises(UnknownNameError) as caught,
        v2drop.dropping(make_llava(4), "1:0", method="v2dorp"),
    ):
        pass
    assert "did you mean v2drop" in caught.value.hint
    text = make_llava(2).model.language_model
    with pytest.raises(UnsupportedModelError, match="llama"), v2drop.dropping(text, "1:0"):
        pass


@pytest.mark.mode("a sliding window in a decoder in which nobody has proven it (Llama)", "refused")
def test_sliding_windows_are_refused_by_name():
    model = make_llava(4)
    model.config.text_config.sliding_window = 8
    with pytest.raises(UnsupportedModelError, match="sliding"), v2drop.dropping(model, "1:0"):
        pass


def test_a_method_may_merge():
    class Mean(Method):
        """Keeps the first token, holding the mean of all."""

        name, paper = "mean", "none"

        def select(self, ctx):
            return Kept(torch.tensor([0]), ctx.signals.hidden().mean(0, keepdim=True))

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "1:1t", method=Mean()), torch.no_grad():
        merged = model(**inputs).logits[:, -1]
    with v2drop.dropping(model, "1:1t", method="uniform"), torch.no_grad():
        plain = model(**inputs).logits[:, -1]
    assert (merged - plain).abs().max() > 1e-4


def test_eos_is_what_the_helpers_think():
    """Guards generation tests: an early stop would compare nothing."""
    model, inputs = make_llava(), mixed_batch("left")
    assert model.generation_config.eos_token_id in (None, EOS)
    with v2drop.dropping(model, SCHEDULE):
        out = model.generate(**inputs, do_sample=False, max_new_tokens=6)
    assert out.shape[1] == inputs["input_ids"].shape[1] + 6


# What a review found -------------------------------------------------------------------------


def test_text_with_a_placeholder_id_is_untouched_by_generate():
    """generate passes an empty dict of features where there are none."""
    model = make_llava(12)
    ids = torch.tensor([[1, 5, *[IMAGE] * 4, 9, 10]])
    plain = model.generate(input_ids=ids, do_sample=False, max_new_tokens=4)
    with v2drop.dropping(model, SHORT) as trace:
        assert torch.equal(model.generate(input_ids=ids, do_sample=False, max_new_tokens=4), plain)
    assert trace.events == []


def test_a_prompt_that_ends_in_an_image_keeps_its_last_token():
    model = make_llava(12)
    inputs = batch([[1, 5, 6, *[IMAGE] * PATCHES], [*[IMAGE] * PATCHES]], "left")
    with v2drop.dropping(model, SHORT) as trace, torch.no_grad():
        logits = model(**inputs).logits
    assert (logits[:, -1].abs().max(-1).values > 0).all()
    last = inputs["input_ids"].shape[1] - 1
    assert all(last not in kept for event in trace.events for kept in event.kept)
    assert trace.events[0].before == (PATCHES - 1, PATCHES - 1)


def test_masked_placeholders_are_padding():
    model, inputs = make_llava(12), one_prompt()
    first = int((inputs["input_ids"][0] == IMAGE).nonzero()[0])
    inputs["attention_mask"][0, first : first + 20] = 0
    with v2drop.dropping(model, "1:0.5", method="uniform") as trace, torch.no_grad():
        hidden = model.model(**inputs).last_hidden_state
    assert trace.events[0].before == (PATCHES - 20,)
    assert trace.events[0].after == (8,)
    text = (inputs["input_ids"] != IMAGE)[0]
    assert (hidden[0, text] != 0).any(-1).all()


def compiled_ways():
    def wrapped(model):
        return torch.compile(model, backend="eager")

    def in_place(model):
        model.compile(backend="eager")
        return model

    def forward_only(model):
        model.forward = torch.compile(model.forward, backend="eager")
        return model

    return [wrapped, in_place, forward_only]


@pytest.mark.mode("model compiled before the context", "refused")
@pytest.mark.parametrize("compiled", compiled_ways())
def test_compiled_models_are_refused_because_they_would_not_drop(compiled):
    with (
        pytest.raises(InstrumentError, match="compiled"),
        v2drop.dropping(compiled(make_llava(12)), SHORT),
    ):
        pass


def verdicts():
    return {
        "too few": lambda ctx: Kept(torch.arange(ctx.n_keep - 1)),
        "too many": lambda ctx: Kept(torch.arange(ctx.n_keep + 1)),
        "twice": lambda ctx: Kept(torch.zeros(ctx.n_keep, dtype=torch.long)),
        "negative": lambda ctx: Kept(torch.arange(ctx.n_keep) - 1),
        "beyond": lambda ctx: Kept(torch.arange(ctx.n_keep) + 1000),
        "floats": lambda ctx: Kept(torch.arange(ctx.n_keep).float()),
        "a tensor": lambda ctx: torch.arange(ctx.n_keep),
        "narrow": lambda ctx: Kept(torch.arange(ctx.n_keep), torch.zeros(ctx.n_keep, 3)),
    }


@pytest.mark.parametrize("kind", verdicts())
def test_a_methods_verdict_is_checked(kind):
    class Odd(Method):
        name, paper = "odd", "none"

        def select(self, ctx):
            return verdicts()[kind](ctx)

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT, method=Odd()), pytest.raises(InstrumentError, match="Odd"):
        model(**inputs)


def test_an_unsorted_verdict_is_sorted_and_merged_states_follow():
    class Backwards(Method):
        name, paper = "backwards", "none"

        def select(self, ctx):
            index = torch.arange(ctx.n_keep).flip(0)
            return Kept(index, ctx.signals.hidden()[index].double())

    class Forwards(Method):
        name, paper = "forwards", "none"

        def select(self, ctx):
            return Kept(torch.arange(ctx.n_keep))

    model, inputs, seen = make_llava(12), one_prompt(), []
    for method in (Backwards(), Forwards()):
        with v2drop.dropping(model, "1:0.5", method=method) as trace, torch.no_grad():
            seen.append((model(**inputs).logits, trace.events[0].kept))
    assert seen[0][1] == seen[1][1]
    torch.testing.assert_close(seen[0][0], seen[1][0])


def test_methods_that_are_none():
    for wrong in (Method, 3, None):
        with pytest.raises(V2DropError), v2drop.dropping(make_llava(4), "1:0", method=wrong):
            pass


def checkpointed_step(model, inputs):
    model.train()
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is None:  # its name before 5.20 or so
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        enable()
    with v2drop.dropping(model, SHORT):
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
    return model.model.language_model.layers[3].mlp.up_proj.weight.grad.clone()


@pytest.mark.mode(
    "gradient checkpointing", "works", "refused where transformers would run the hooks twice (5.17)"
)
def test_gradient_checkpointing_is_right_or_refused():
    inputs, plain = one_prompt(), make_llava(12)
    with v2drop.dropping(plain, SHORT):
        plain(**inputs, labels=inputs["input_ids"]).loss.backward()
    wanted = plain.model.language_model.layers[3].mlp.up_proj.weight.grad
    try:
        got = checkpointed_step(make_llava(12), inputs)
    except InstrumentError as error:
        assert "gradient checkpointing" in error.message
    else:
        torch.testing.assert_close(got, wanted)


@pytest.mark.mode("chunked prefill (`prefill_chunk_size`) through an image", "refused")
def test_an_image_in_two_forwards_is_refused():
    model, inputs = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    ids = inputs["input_ids"]
    features = model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    parts = [(ids[:, :20], features[:16]), (ids[:, 20:], features[16:])]
    with v2drop.dropping(model, SHORT), torch.no_grad():

        def feed(part, rows):
            embeds = BaseModelOutputWithPooling(pooler_output=[rows])
            return model(input_ids=part, **{CACHE: cache}, mm_encoder_outputs={"image": embeds})

        if "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
            pytest.skip("this version of transformers does not take features made beforehand")
        with pytest.raises(InstrumentError, match="several forwards"):
            feed(*parts[0])  # no prompt ends in a picture


def crop(cache, length):
    """Cut every layer's tail by as much as layer 0's, as `crop` does."""
    cut = cache.get_seq_length() - length
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, :-cut], layer.values[:, :, :-cut]


@pytest.mark.mode(
    "a cache cropped into the text after the last image", "works", "deeper crops are refused"
)
def test_crops_into_the_trailing_text_are_followed_and_deeper_ones_refused():
    model, first = make_llava(12), batch([row(20, 1, 9, 4)])
    n = first["input_ids"].shape[1]
    for cut, allowed in ((5, True), (9, True), (10, True), (11, False), (30, False)):
        cache = DynamicCache(config=model.config)
        with v2drop.dropping(model, SHORT), torch.no_grad():
            model(**first, **{CACHE: cache}, use_cache=True)
            crop(cache, n - cut)
            kept = {"input_ids": torch.zeros(1, n - cut)}
            if allowed:
                got = second_turn(model, cache, kept, [7, 8])
                again = torch.cat([first["input_ids"][:, : n - cut], torch.tensor([[7, 8]])], 1)
                fresh = model(input_ids=again, pixel_values=first["pixel_values"]).logits
                torch.testing.assert_close(got, fresh[:, -2:], **TOLERANCE)
            else:
                with pytest.raises(InstrumentError, match=r"cropped|outside"):
                    second_turn(model, cache, kept, [7, 8])


@pytest.mark.parametrize("ids", [[7], [7, 8]])
def test_a_shortened_cache_in_another_context_is_refused_without_images_too(ids):
    model, first = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT) as trace, torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        twin = copy.deepcopy(cache)
        with pytest.raises(InstrumentError, match="outside"):
            second_turn(model, twin, first, ids)
    assert trace.events
    with v2drop.dropping(model, SHORT), pytest.raises(InstrumentError, match="outside"):
        second_turn(model, cache, first, ids)


@pytest.mark.mode("rows repeated on a filled cache", "refused")
def test_rows_repeated_on_the_cache_are_refused():
    model, inputs = make_llava(12), mixed_batch()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**inputs, **{CACHE: cache}, use_cache=True)
        cache.batch_repeat_interleave(2)
        mask = torch.ones(8, inputs["input_ids"].shape[1] + 1, dtype=torch.long)
        with pytest.raises(InstrumentError, match="4 rows, the new tokens 8"):
            model(
                input_ids=torch.full((8, 1), 7),
                attention_mask=mask,
                **{CACHE: cache},
            )


def test_a_ragged_turn_token_by_token_equals_one_forward():
    model, inputs = make_llava(12), mixed_batch("left")
    n = inputs["input_ids"].shape[1]
    new = torch.tensor([[7, 8, 9], [0, 8, 9], [0, 0, 9], [7, 8, 9]])
    full = torch.cat([inputs["attention_mask"], (new != 0).long()], 1)
    at = (full.cumsum(-1) - 1).clamp(min=0)
    logits = []
    for steps in ([3], [1, 1, 1]):
        cache, done = DynamicCache(config=model.config), n
        with v2drop.dropping(model, SHORT), torch.no_grad():
            model(**inputs, position_ids=at[:, :n], **{CACHE: cache}, use_cache=True)
            for step in steps:
                out = model(
                    input_ids=new[:, done - n : done - n + step],
                    attention_mask=full[:, : done + step],
                    position_ids=at[:, done : done + step],
                    **{CACHE: cache},
                )
                done += step
        logits.append(out.logits[:, -1])
    torch.testing.assert_close(*logits, **TOLERANCE)


def test_a_four_dimensional_mask_on_a_shortened_cache_is_refused():
    model, first = make_llava(12), one_prompt()
    cache = DynamicCache(config=model.config)
    n = first["input_ids"].shape[1]
    with v2drop.dropping(model, SHORT), torch.no_grad():
        model(**first, **{CACHE: cache}, use_cache=True)
        with pytest.raises(InstrumentError, match="2-D"):
            model(
                input_ids=torch.tensor([[7, 8]]),
                attention_mask=torch.zeros(1, 1, 2, n + 2),
                **{CACHE: cache},
            )


def test_positional_arguments_of_the_inner_model():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, SHORT) as trace, torch.no_grad():
        model.model(inputs["input_ids"], inputs["pixel_values"], inputs["attention_mask"])
    assert len(trace.events) == 3


def test_the_decoder_called_directly_is_text_also_after_an_error():
    class Broken(Method):
        name, paper = "broken", "none"

        def score(self, ctx):
            raise ArithmeticError

    model, inputs = make_llava(12), one_prompt()
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    with torch.no_grad():
        plain = model.model.language_model(inputs_embeds=embeds).last_hidden_state
        with v2drop.dropping(model, SHORT, method=Broken()) as trace:
            with pytest.raises(ArithmeticError):
                model(**inputs)
            got = model.model.language_model(inputs_embeds=embeds).last_hidden_state
    assert trace.events == []
    assert torch.equal(got, plain)


def test_the_decoder_called_directly_on_a_shortened_cache():
    model, first = make_llava(12), one_prompt()
    embeds = model.get_input_embeddings()(torch.tensor([[7, 8]]))
    outputs = []
    for call in ("model", "decoder", "model without ids"):
        cache = DynamicCache(config=model.config)
        with v2drop.dropping(model, SHORT), torch.no_grad():
            model(**first, **{CACHE: cache}, use_cache=True)
            if call == "decoder":
                out = model.model.language_model(inputs_embeds=embeds, **{CACHE: cache})
            elif call == "model without ids":
                out = model.model(inputs_embeds=embeds, **{CACHE: cache})
            else:
                out = model.model(input_ids=torch.tensor([[7, 8]]), **{CACHE: cache})
        outputs.append(out.last_hidden_state)
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[0], outputs[2])


def test_wrappers_are_seen_through_or_refused():
    class Adapter(torch.nn.Module):
        """As PEFT wraps: forwards attributes, holds the model two levels down."""

        def __init__(self, inner):
            super().__init__()
            self.base = torch.nn.ModuleDict({"model": inner})
            self.config = inner.config

        def forward(self, **kwargs):
            return self.base["model"](**kwargs)

    model, inputs = make_llava(12), one_prompt()
    wrapper = Adapter(model)
    with v2drop.dropping(wrapper, SHORT) as trace, torch.no_grad():
        wrapper(**inputs)
    assert len(trace.events) == 3
    for wrong in (torch.nn.Linear(2, 2), torch.nn.DataParallel(model)):
        with pytest.raises(UnsupportedModelError, match="config"), v2drop.dropping(wrong, SHORT):
            pass


def test_presets_by_name():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "paper-128") as trace, torch.no_grad():
        model(**inputs)
    assert [(event.layer, event.after) for event in trace.events] == [
        (1, (10,)),
        (6, (2,)),
        (8, (0,)),
    ]
    with pytest.raises(UnknownNameError) as caught, v2drop.dropping(model, "paper-129"):
        pass
    assert "paper-128" in caught.value.hint
