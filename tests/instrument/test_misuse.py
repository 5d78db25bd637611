"""Copies, replicas, threads and calls that go past the hooks: served, refused or warned of."""

from __future__ import annotations

import copy
import io
import threading
import warnings

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_dropping import SHORT
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.release import CACHE
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.dropping import UNSEEN
from v2drop_cli.instrument.layer_call import LayerCall, only_hidden
from v2drop_cli.models.registry import family_for

OTHER_CACHE = {"cache": "past_key_values", "past_key_values": "cache"}[CACHE]
LAYERS = 9


@pytest.fixture(scope="module")
def llava():
    return make_llava(LAYERS)


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


# Copies --------------------------------------------------------------------------------------


def pickled(model):
    kept = io.BytesIO()
    torch.save(model, kept)
    kept.seek(0)
    return torch.load(kept, weights_only=False)


@pytest.mark.mode(
    "`copy.deepcopy(model)`, or pickling it, inside the context", "works", "the copy drops nothing"
)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_made_inside_drops_nothing(llava, duplicate):
    inputs = one_prompt()
    dense = logits(llava, inputs)
    original = make_llava(LAYERS)  # transformers' own hooks, put on at the first call, don't pickle
    with v2drop.dropping(original, SHORT) as trace:
        twin = duplicate(original)
        assert torch.equal(logits(twin, inputs), dense)
        assert trace.events == []
        dropped = logits(original, inputs)
        assert len(trace.events) == 3
    assert torch.equal(logits(twin, inputs), dense)
    with v2drop.dropping(twin, SHORT) as trace:
        assert torch.equal(logits(twin, inputs), dropped)
    assert len(trace.events) == 3


@pytest.mark.mode("`torch.nn.DataParallel`", "refused")
def test_a_replica_is_refused(llava):
    """What `DataParallel` calls on each GPU: a module that shares the original's hooks."""
    with v2drop.dropping(llava, SHORT):
        replica = llava.model._replicate_for_data_parallel()
        with pytest.raises(InstrumentError, match="replica"):
            replica(**one_prompt())
        with pytest.raises(InstrumentError, match="replica"):
            llava.model.language_model._replicate_for_data_parallel()(torch.tensor([[1, 2]]))


# Threads -------------------------------------------------------------------------------------


@pytest.mark.mode("two threads on one model inside one context", "refused")
@pytest.mark.parametrize("second", ["model", "decoder"])
def test_a_second_thread_is_refused_and_the_first_goes_on(llava, second):
    """The second one comes while the first is in its vision tower: no clock is needed."""
    inputs, refused = one_prompt(), []

    def intrude():
        try:
            if second == "model":
                logits(llava, inputs)
            else:
                llava.model.language_model(torch.tensor([[1, 2]]))
        except InstrumentError as error:
            refused.append(error.message)

    def while_running(module, args, output):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    with v2drop.dropping(llava, SHORT):
        wanted = logits(llava, inputs)
    handle = llava.model.vision_tower.register_forward_hook(while_running)
    try:
        with v2drop.dropping(llava, SHORT) as trace:
            got = logits(llava, inputs)
    finally:
        handle.remove()
    assert len(refused) == 1
    assert "two threads" in refused[0]
    assert torch.equal(got, wanted)
    assert len(trace.events) == 3


@pytest.mark.mode("one thread after another inside one context", "works")
def test_a_later_thread_is_served(llava):
    inputs, found = one_prompt(), []
    with v2drop.dropping(llava, SHORT) as trace:
        wanted = logits(llava, inputs)
        thread = threading.Thread(target=lambda: found.append(logits(llava, inputs)))
        thread.start()
        thread.join()
    assert len(trace.events) == 6
    assert torch.equal(found[0], wanted)


def test_many_threads_are_refused_or_right(llava):
    """Whatever the scheduler does: an answer is the right one, or refused by name."""
    inputs, answers, refused = one_prompt(), [], []

    def ask():
        for _ in range(5):
            try:
                answers.append(logits(llava, inputs))
            except InstrumentError as error:
                refused.append(error.message)

    with v2drop.dropping(llava, SHORT):
        wanted = logits(llava, inputs)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) + len(refused) == 20
    assert all(torch.equal(answer, wanted) for answer in answers)
    assert all("two threads" in message for message in refused)


# Calls past the hooks ------------------------------------------------------------------------


def test_a_decoder_called_alone_that_raises_leaves_nothing_behind(llava):
    """The next call of the decoder would otherwise be taken for a part of the one that failed."""
    ids = torch.tensor([[1, 7, 8]])
    decoder = llava.model.language_model
    with torch.no_grad():
        wanted = decoder(ids).last_hidden_state
    with v2drop.dropping(llava, SHORT), torch.no_grad():
        with pytest.raises(RuntimeError):
            decoder(torch.ones(2, 3, 5, dtype=torch.long))
        assert torch.equal(decoder(ids).last_hidden_state, wanted)
        cache = DynamicCache(config=llava.config)
        llava(**one_prompt(), **{CACHE: cache}, use_cache=True)
        with pytest.raises(RuntimeError):
            decoder(torch.ones(2, 3, 5, dtype=torch.long))
        got = decoder(ids, **{CACHE: cache}).last_hidden_state
        assert got.shape == wanted.shape


@pytest.mark.mode(
    "`model.forward(…)` called directly",
    "not seen",
    "it skips hooks: nothing is dropped, and a warning says so at the end",
)
def test_a_forward_called_directly_is_warned_of(llava):
    inputs = one_prompt()
    dense = logits(llava, inputs)
    with (
        pytest.warns(UserWarning, match="pixels were encoded") as caught,
        torch.no_grad(),
        v2drop.dropping(llava, SHORT) as trace,
    ):
        hidden = llava.model.forward(**inputs).last_hidden_state
    assert [str(warning.message) for warning in caught] == [UNSEEN]
    assert caught[0].filename == __file__
    assert trace.events == []
    torch.testing.assert_close(llava.lm_head(hidden), dense)


@pytest.mark.parametrize("name", CASES)
def test_no_family_warns_of_pixels_that_it_saw(name):
    case = CASES[name]
    model = case.make("sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with v2drop.dropping(model, case.schedule), torch.no_grad():
            model(**inputs)
        assert UNSEEN not in {str(warning.message) for warning in caught}
        with v2drop.dropping(model, case.schedule), torch.no_grad():
            model.base_model.forward(**inputs)  # of Llama 4, itself
        assert UNSEEN in {str(warning.message) for warning in caught}


def test_an_error_in_the_body_is_not_buried_under_the_warning(llava):
    def body():
        with v2drop.dropping(llava, SHORT), torch.no_grad():
            llava.model.forward(**one_prompt())
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        body()


# What this transformers does not do ----------------------------------------------------------


def test_a_cache_under_a_name_that_is_not_read_is_refused(llava):
    cache = DynamicCache(config=llava.config)
    with v2drop.dropping(llava, SHORT), torch.no_grad():
        with pytest.raises(InstrumentError, match="KV cache was passed as"):
            llava(**one_prompt(), key_value_store=cache)
        if CACHE == "past_key_values":
            with pytest.raises(InstrumentError, match="passed as cache"):
                llava(**one_prompt(), cache=cache)


@pytest.mark.parametrize("name", [CACHE, "past_key_values"])
def test_a_text_prefix_in_the_cache_then_an_image_turn(llava, name):
    """From 5.24 on the cache has a new name, and callers may still use the old one."""
    ids, inputs = torch.tensor([[1, 7, 8, 9]]), one_prompt()
    whole = {**inputs, "input_ids": torch.cat([ids, inputs["input_ids"]], 1)}
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    with v2drop.dropping(llava, SHORT) as trace:
        wanted, _ = decode(llava, whole, 0)
        cache = DynamicCache(config=llava.config)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the old name
            llava(ids, **{name: cache}, use_cache=True)
            later = {**inputs, "attention_mask": whole["attention_mask"]}
            got = llava(**later, **{name: cache}, use_cache=True).logits
    first, second = (trace.events[0], trace.events[3])
    assert first.kept == second.kept
    torch.testing.assert_close(got[:, -1], wanted[0][:, -1], **TOLERANCE)


def test_arguments_that_nobody_would_shorten_are_refused(llava):
    call = LayerCall.of(llava.config, llava.model.language_model.layers)
    known = {CACHE: None, "attention_mask": torch.ones(1, 4), "use_cache": True}
    call.check(known)
    call.check(known | {"scattered_far_down": torch.ones(1, 4)})  # layers pass it on unread
    along = LayerCall(call.config, call.cache_name, call.named | {"token_types"})
    with pytest.raises(InstrumentError, match="token_types"):
        along.check(known | {"token_types": torch.ones(1, 4)})
    along.check(known | {"token_types": None})
    with pytest.raises(InstrumentError, match=f"no {CACHE}"):
        call.check({OTHER_CACHE: None})


@pytest.mark.parametrize("args", [(), (torch.ones(1, 4, 8), torch.ones(1, 4))])
def test_layers_called_in_another_way_are_refused(args):
    with pytest.raises(InstrumentError, match="by position"):
        only_hidden(args)


@pytest.mark.mode("`output_router_logits=True` with a picture (mixture of experts)", "refused")
@pytest.mark.parametrize("where", ["argument", "configuration"])
@pytest.mark.parametrize("name", ["qwen3_vl_moe", "qwen3_5_moe", "glm4v_moe"])
def test_router_logits_of_survivors_are_refused(name, where):
    case = CASES[name]
    model = case.make("sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    asked = {"output_router_logits": True} if where == "argument" else {}
    if where == "configuration":
        model.config.get_text_config().output_router_logits = True
    with v2drop.dropping(model, case.schedule) as trace, torch.no_grad():
        with pytest.raises(InstrumentError, match="output_router_logits"):
            model(**inputs, **asked, labels=inputs["input_ids"])
        model(**inputs, output_router_logits=False)
    assert trace.events


# Interrupts, and calls inside calls ----------------------------------------------------------


class Halt(BaseException):
    """As `KeyboardInterrupt`: torch calls no hook for it."""


def interrupted_at(llava, module):
    """One forward inside the open context that ends in a `BaseException` at `module`."""

    def halt(*_):
        raise Halt

    handle = module.register_forward_pre_hook(halt)
    try:
        with pytest.raises(Halt):
            logits(llava, one_prompt())
    finally:
        handle.remove()


@pytest.mark.mode("going on in a context after `KeyboardInterrupt` in a forward", "works")
@pytest.mark.parametrize("place", ["tower", "layer 0", "layer 7"])
@pytest.mark.parametrize("then", ["model", "decoder", "thread"])
def test_an_interrupt_leaves_nothing_that_is_believed(llava, place, then):
    layers = llava.model.language_model.layers
    module = {"tower": llava.model.vision_tower, "layer 0": layers[0], "layer 7": layers[7]}[place]
    inputs = one_prompt()
    ids = torch.full_like(inputs["input_ids"], 7)  # text as long as the prompt, picture and all
    with torch.no_grad():
        text = llava.model.language_model(ids).last_hidden_state
    with v2drop.dropping(llava, SHORT) as trace:
        wanted = logits(llava, inputs)
        interrupted_at(llava, module)
        trace.clear()
        if then == "decoder":
            with torch.no_grad():
                assert torch.equal(llava.model.language_model(ids).last_hidden_state, text)
            assert trace.events == []
        found = []
        if then == "thread":
            thread = threading.Thread(target=lambda: found.append(logits(llava, inputs)))
            thread.start()
            thread.join()
        else:
            found.append(logits(llava, inputs))
        assert torch.equal(found[0], wanted)
        assert len(trace.events) == 3


def test_a_decoder_called_alone_gives_the_context_back(llava):
    inputs, found = one_prompt(), []
    with v2drop.dropping(llava, SHORT) as trace, torch.no_grad():
        llava.model.language_model(torch.tensor([[1, 7, 8]]))
        thread = threading.Thread(target=lambda: found.append(logits(llava, inputs)))
        thread.start()
        thread.join()
    assert len(found) == 1
    assert len(trace.events) == 3


@pytest.mark.mode("a call of the model from within its own forward", "refused")
@pytest.mark.parametrize("swallow", [False, True])
def test_a_call_inside_a_call_is_refused(llava, swallow):
    """A hook of one's own may do it; the outer call goes on, if the error is caught."""
    inputs, refused = one_prompt(), []

    def again(*_):
        try:
            llava(torch.tensor([[1, 7]]))
        except InstrumentError as error:
            refused.append(error.message)
            if not swallow:
                raise

    with v2drop.dropping(llava, SHORT) as trace:
        wanted = logits(llava, inputs)
        trace.clear()
        handle = llava.model.vision_tower.register_forward_hook(again)
        try:
            if swallow:
                assert torch.equal(logits(llava, inputs), wanted)
                assert len(trace.events) == 3
            else:
                with pytest.raises(InstrumentError, match="within its own forward"):
                    logits(llava, inputs)
        finally:
            handle.remove()
        assert len(refused) == 1
        assert torch.equal(logits(llava, inputs), wanted)


def test_a_call_past_the_hooks_is_warned_of_after_good_ones(llava):
    inputs = one_prompt()

    def body():
        with v2drop.dropping(llava, SHORT), torch.no_grad():
            llava(**inputs)
            llava.model.forward(**inputs)

    with pytest.warns(UserWarning, match="pixels were encoded"):
        body()


# Caches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["2:0.5", "4:0.5", "7:0.5"])
def test_a_cache_shortened_at_an_earlier_layer_elsewhere_is_refused(llava, schedule):
    """Also in layers that this context does not hook, because it drops later."""
    cache = DynamicCache(config=llava.config)
    with v2drop.dropping(llava, "1:0.5,3:0.5"), torch.no_grad():
        llava(**one_prompt(), **{CACHE: cache}, use_cache=True)
    with (
        v2drop.dropping(llava, schedule),
        torch.no_grad(),
        pytest.raises(InstrumentError, match="outside this"),
    ):
        llava(torch.tensor([[7, 8]]), **{CACHE: cache})


def test_both_directions_are_refused_whichever_flag_says_so():
    config = CASES["llava"].make("sdpa").config
    config.text_config.use_bidirectional_attention = True
    with pytest.raises(UnsupportedModelError, match="both directions"):
        family_for(config)
    assert family_for(CASES["paligemma"].make("sdpa").config).name == "paligemma"
