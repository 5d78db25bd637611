"""What flash kernels are told, layer by layer, for every family; and that it gives the oracle."""

from __future__ import annotations

import functools

import pytest
import torch
import transformers
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES, NAMES
from tests.matrix import truth
from tests.matrix.flash import NAME, recorded
from tests.matrix.test_matrix import dropped_in
from tests.matrix.truth import TOLERANCE, batch, check, defined, gone
from tests.release import CACHE
from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.releases import release
from v2drop_cli.prove.oracle import positions

pytestmark = pytest.mark.no_cover

STEPS = 3
# transformers hands GLM-4.5V's layers three rows of positions: refused, see the last test. It
# does not tell flash kernels where PaliGemma's prompt ends either, nor which columns of Gemma 3
# and Molmo 2 attend both ways; and it has no flash for Llama 4: see tests/models.
REFUSED = (
    "glm4v_moe",
    "paligemma",
    "gemma3",
    "gemma4_unified",
    "molmo2",
    "llama4",
    "cohere_compass",
    "step3p7",
    "dots3_note",
    "qwen4_exp",
    "mistral_large4",
    "glm5_next",
)
# Before 5.23 it hands Cosmos3 Edge's layers the time axis for positions: refused there.
REFUSED += ("cosmos3_edge",) if release(transformers.__version__) < (5, 23) else ()
# Windows shorter than the prompt, which flash kernels would count in columns.
WINDOWED = (
    "gemma4",
    "gemma3n",
    "cohere2_vision",
    "aya_vision",
    "exaone4_5",
    "idefics2",
    "muse_glimmer",
    "lfm3_vl",
)
FLASH = [name for name in NAMES if name not in (*REFUSED, *WINDOWED)]
CELLS = [
    pytest.param(name, shape, id=f"{name}-{shape}")
    for name in FLASH
    for shape in CASES[name].shapes
]


@functools.cache
def model_of(name, attn):
    """Only the decoder in `attn`: what the vision tower is told is its own business."""
    model = CASES[name].make("eager")
    asked = {"text_config": attn}
    if model.config.get_text_config() is model.config:  # Phi-4 multimodal's is the decoder's, too
        asked = {"": attn, "vision_config": "eager", "audio_config": "eager"}
    model.set_attn_implementation(asked)
    return model


def alive_by_layer(name, inputs, events):
    """Per layer with attention and row, how many columns of the prompt are alive, by the trace."""
    counts = inputs["attention_mask"].sum(1).tolist()
    drops = {event.layer: event for event in events}
    found = []
    for layer, module in enumerate(CASES[name].layers(truth.model_of(name, "eager"))):
        if layer in drops:
            gone = zip(drops[layer].before, drops[layer].after, strict=True)
            counts = [n - before + after for n, (before, after) in zip(counts, gone, strict=True)]
        if truth.attends(module):
            found.append(counts)
    return found


@pytest.fixture
def calls(monkeypatch):
    with recorded(monkeypatch) as calls:
        yield calls


@pytest.mark.proves("flash")
@pytest.mark.parametrize(("name", "shape"), CELLS)
def test_flash_layers_are_told_of_the_survivors_and_nothing_else(calls, name, shape):
    model, (inputs, _) = model_of(name, NAME), batch(name, shape)
    dropped, kept = defined(name, shape)
    got, trace = dropped_in(model, name, shape, CASES[name].schedule, steps=STEPS)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    check(name, shape, dropped, got)

    alive = alive_by_layer(name, inputs, trace.events)
    rows, width = inputs["input_ids"].shape
    whole = inputs["attention_mask"].sum(1).tolist()
    config = model.config.get_text_config()
    assert len(calls) == len(alive) * (1 + STEPS)
    for number, call in enumerate(calls):
        step, layer = divmod(number, len(alive))
        # Before its first drop a layer has the padded prompt; afterwards its longest row.
        columns = max(alive[layer]) if alive[layer] != whole else width
        queries = 1 if step else columns
        check_call(call, config, rows, queries, columns + step)
        check_sequences(call, rows, columns + step, [n + step for n in alive[layer]], step)


@pytest.mark.parametrize("shape", ["image", "ragged"])
@pytest.mark.parametrize("name", [name for name in FLASH if CASES[name].entry])
def test_after_a_drop_at_layer_0_no_layer_is_told_of_the_whole_prompt(calls, name, shape):
    """What later tokens are told is not packed either: their positions go on by one."""
    inputs, vision = batch(name, shape)
    got, trace = dropped_in(model_of(name, NAME), name, shape, "0:0.5", "uniform", STEPS)
    check(name, shape, gone(trace.events, vision), got)
    alive = alive_by_layer(name, inputs, trace.events)
    config = model_of(name, NAME).config.get_text_config()
    for number, call in enumerate(calls):
        step, layer = divmod(number, len(alive))
        columns = max(alive[layer]) + step
        check_call(call, config, len(vision), 1 if step else columns, columns)
        check_sequences(call, len(vision), columns, [n + step for n in alive[layer]], step)
    assert len(calls) == len(alive) * (1 + STEPS)


def check_call(call, config, batch, queries, keys):
    """Shapes of one call, the positions, and what must not be there."""
    heads = config.num_attention_heads
    grouped = getattr(config, "num_key_value_heads", heads)
    assert call.query[:3] == (batch, heads, queries)
    assert call.key[:3] == call.value[:3] == (batch, grouped, keys)
    at = call.kwargs.get("position_ids")
    if at is not None:
        assert at.shape == (batch, queries)
        # One row with a gap is taken for packed sequences; more rows never are.
        assert batch > 1 or bool((at.diff() == 1).all())
    for name in ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "block_table"):
        assert call.kwargs.get(name) is None
    assert call.kwargs.get("sliding_window") is None
    assert call.kwargs.get("is_causal") in (None, True)
    assert call.module.is_causal is True


def check_sequences(call, batch, keys, lengths, step):
    """The mask of one call, and the sequences that the kernel then ran: one a row."""
    if set(lengths) == {keys}:
        assert call.mask is None
        [(kind, causal, queries, found)] = call.kernels
        assert (kind, causal) == ("dense", True)
    else:
        assert call.mask.shape == (batch, keys)
        assert call.mask.dtype == torch.bool
        assert call.mask.sum(1).tolist() == lengths
        [(kind, causal, queries, found)] = call.kernels
        assert (kind, causal) == ("varlen", True)
    assert found == lengths
    assert queries == ([1] * batch if step else lengths)


# Persimmon's attention is handed no positions.
@pytest.mark.parametrize("name", [name for name in FLASH if name != "fuyu"])
def test_gapped_positions_would_be_seen(calls, name):
    """Guards the test above: hand one row the survivors' positions, and flash reads it as packed.

    Sequences start at position 0 then, and keys are taken to be as many as queries: with a cache
    nothing is right any more.
    """
    case, model = CASES[name], model_of(name, NAME)
    inputs, _ = case.batch(case.prompts("image"))

    def gap(module, args, kwargs):
        n = torch.arange(args[0].shape[1])
        return args, {**kwargs, "position_ids": n[None] + (n > 3)}

    handle = case.layers(model)[-1].register_forward_pre_hook(gap, with_kwargs=True)
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    kinds = [kind for call in calls for kind, *_ in call.kernels]
    assert kinds == ["dense"] * (len(kinds) - 1) + ["varlen"]


# To Unlimited-OCR a second turn is a part of the answer: refused there, see tests/instrument.
@pytest.mark.parametrize("name", [name for name in FLASH if name != "unlimited_ocr"])
def test_a_second_turn_with_an_image_on_the_shortened_cache(calls, name):
    """Queries behind a cache, some of them dropped: one sequence, its keys the layer's own."""
    case = CASES[name]
    first, _ = case.batch([case.prompt(3, "i", 1)])
    second, _ = case.batch([case.prompt(2, "i", 2)])
    logits = []
    for attn in ("eager", NAME):
        model = model_of(name, attn)
        with v2drop.dropping(model, case.schedule) as trace:
            logits.append(two_turns(model, first, second))
        assert len(trace.events) == 2 * len(case.drops)
    torch.testing.assert_close(*logits, **TOLERANCE)
    alive = [alive_by_layer(name, turn, events) for turn, events in (
        (first, trace.events[: len(case.drops)]), (second, trace.events[len(case.drops) :])
    )]  # fmt: skip
    for layer, call in enumerate(calls[len(alive[0]) :]):
        old, new = alive[0][layer][0], alive[1][layer][0]
        assert call.kernels == [("dense", True, [new], [old + new])]
        at = call.kwargs.get("position_ids")
        assert at is None or bool((at.diff() == 1).all())


def two_turns(model, first, second):
    """Two prompts one after the other on one cache; the last logits of the second."""
    cache = DynamicCache(config=model.config)
    offset = first["input_ids"].shape[1]
    longer = torch.nn.functional.pad(second["attention_mask"], (offset, 0), value=1)
    with torch.no_grad():
        model(**first, position_ids=positions(model, first), **{CACHE: cache}, use_cache=True)
        at = positions(model, second) + offset
        out = model(**{**second, "attention_mask": longer}, position_ids=at, **{CACHE: cache})
    return out.logits[:, -1]


def test_cosmos3_edge_is_refused_where_transformers_tells_flash_wrong_positions(calls, monkeypatch):
    model = model_of("cosmos3_edge", NAME)
    monkeypatch.setattr("v2drop_cli.models.families.cosmos3_edge.release", lambda version: (5, 22))
    with (
        pytest.raises(UnsupportedModelError, match="flash kernels wrong positions"),
        v2drop.dropping(model, "1:0.5"),
    ):
        pass


def test_where_transformers_tells_flash_wrong_positions_we_refuse(calls):
    """And the day it does not, this fails, and the family can have flash."""
    case, model = CASES["glm4v_moe"], model_of("glm4v_moe", NAME)
    inputs, _ = case.batch(case.prompts("image"))
    with pytest.raises(UnsupportedModelError, match="wrong positions"):
        v2drop.dropping(model, case.schedule).__enter__()
    with pytest.raises(RuntimeError, match="split_with_sizes"), torch.no_grad():
        model(**inputs)
