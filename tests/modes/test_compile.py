"""torch.compile around, inside and beside the model. Backend eager: what is traced is at stake."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.instrument.test_oracle import decode
from tests.release import CACHE
from tests.tiny_llava import make_llava, one_prompt

SCHEDULE = "1:0.5"
LAYERS = 2  # tracing takes seconds a layer


@pytest.fixture(autouse=True)
def _fresh():
    """Compiled code is kept per function, not per model: tests must not see each other's."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def run(model, tokens=None):
    with v2drop.dropping(model, SCHEDULE) as trace:
        logits, tokens = decode(model, one_prompt(), 1, tokens)
    assert [event.layer for event in trace.events] == [1]
    return logits, tokens


def called(blocks):
    for block in blocks:
        block.compile(backend="eager")


def forward_only(blocks):
    for block in blocks:
        block.forward = torch.compile(block.forward, backend="eager")


@pytest.mark.mode("decoder layers compiled one by one, before the context", "works")
@pytest.mark.parametrize(("how", "used"), [(called, True), (forward_only, False)])
def test_layers_compiled_before(how, used):
    """Compiled layers are called with whatever the hooks make of their arguments."""
    wanted, tokens = run(make_llava(LAYERS))
    model = make_llava(LAYERS)
    how(model.model.language_model.layers)
    if used:
        decode(model, one_prompt(), 1, tokens)
    got, _ = run(model, tokens)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.mode("vision tower compiled before the context", "works")
def test_a_compiled_vision_tower():
    wanted, tokens = run(make_llava(LAYERS))
    model = make_llava(LAYERS)
    called([model.model.vision_tower])
    got, _ = run(model, tokens)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


INSIDE = (
    "model compiled inside the context",
    "works",
    "each layer is compiled on its own; of a cache's layers, beyond torch's `recompile_limit` (8) "
    "they run uncompiled",
)


@pytest.mark.slow
@pytest.mark.mode(*INSIDE)
def test_a_model_compiled_inside():
    wanted, _ = run(make_llava(LAYERS))
    model = make_llava(LAYERS)
    with v2drop.dropping(model, SCHEDULE) as trace, torch.no_grad():
        got = torch.compile(model, backend="eager")(**one_prompt()).logits
    assert len(trace.events) == 1
    torch.testing.assert_close(got, wanted[0])


@pytest.mark.slow
def test_a_model_compiled_inside_that_drops_at_layer_0():
    """The class of layer 0's cache is not the one that tracing met first."""
    logits = []
    for compiled in (False, True):
        model = make_llava(LAYERS)
        with v2drop.dropping(model, "0:0.5", method="uniform") as trace:
            run = torch.compile(model, backend="eager") if compiled else model
            cache, inputs = DynamicCache(config=model.config), one_prompt()
            with torch.no_grad():
                out = [run(**inputs, **{CACHE: cache}, use_cache=True).logits]
                for token in (7, 8):
                    ids = torch.tensor([[token]])
                    out.append(run(input_ids=ids, **{CACHE: cache}, use_cache=True).logits)
        assert len(trace.events) == 1
        logits.append(out)
    for got, wanted in zip(*logits, strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.mode(*INSIDE)
def test_hooks_are_no_reason_to_compile_again():
    """Guards on the bookkeeping would fail at every call, for the trace grows."""
    inputs = {**one_prompt(), "use_cache": False}
    model = make_llava(LAYERS)
    with v2drop.dropping(model, SCHEDULE) as trace, torch.no_grad():
        compiled = torch.compile(model, backend="eager")
        for _ in range(2):  # at its first call a model puts hooks on, and is compiled once more
            first = compiled(**inputs).logits
        with torch._dynamo.config.patch(error_on_recompile=True):
            second = compiled(**inputs).logits
    assert len(trace.events) == 3
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.mode(
    "a compiled function of yours around the model, compiled before the context",
    "not seen",
    "nothing is dropped and the trace stays empty; call the model itself, or compile inside",
)
def test_a_compiled_function_around_the_model_is_not_seen():
    model, inputs = make_llava(LAYERS), one_prompt()
    around = torch.compile(lambda: model(**inputs).logits, backend="eager")
    with torch.no_grad():
        dense = around()
        with v2drop.dropping(model, SCHEDULE) as trace:
            assert torch.equal(around(), dense)
            assert trace.events == []
            model(**inputs)
        assert len(trace.events) == 1
