"""Signals: what a method that asks for them sees, and that nobody else pays for it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.matrix.truth import attends
from tests.release import CACHE
from tests.text_decoders import exists, full_attention, llava_with
from tests.tiny_llava import IMAGE, PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.methods.base import (
    ATTENTION,
    EMBEDDINGS,
    GRIDS,
    HIDDEN,
    KEYS,
    PREVIOUS_HIDDEN,
    QUESTION,
    TEXT,
    TOWER,
    DropContext,
    Method,
)
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.models.projections import KNOWN
from v2drop_cli.models.registry import family_for

EXACT = {"atol": 1e-5, "rtol": 0}


class Looks(Method):
    """Keeps the first tokens, and hands every context to ``look``."""

    name, paper = "looks", "a test"
    needs: ClassVar = frozenset(
        {HIDDEN, PREVIOUS_HIDDEN, EMBEDDINGS, TEXT, QUESTION, GRIDS, KEYS, ATTENTION}
    )

    def __init__(self, look):
        object.__setattr__(self, "look", look)
        object.__setattr__(self, "seen", [])

    def score(self, ctx: DropContext):
        self.seen.append((ctx, self.look(ctx)))
        return -ctx.positions.float()


def looked(model, inputs, look, schedule="3:0.5", method=Looks):
    """What ``look`` gave at each drop and row that has vision tokens."""
    found = method(look)
    with torch.no_grad(), v2drop.dropping(model, schedule, method=found):
        model(**inputs)
    return found.seen


def text_rows(ctx):
    rows = ctx.signals.text()
    layers = (ctx.layer - 1, ctx.layer)
    return rows, [ctx.signals.attention(rows, layer) for layer in layers]


def dense_attention(model, inputs):
    """Per layer ``[B, H, Q, Q]``, from the model's own eager attention."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(**inputs, output_attentions=True).attentions


def rows_with_pictures(inputs):
    return [b for b, row in enumerate(inputs["input_ids"].tolist()) if IMAGE in row]


# Attention -----------------------------------------------------------------------------------


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_those_of_eager_attention(attn, kv_heads, side):
    model, inputs = make_llava(6, kv_heads=kv_heads), mixed_batch(side)
    wanted = dense_attention(model, inputs)
    model.set_attn_implementation(attn)
    rows = rows_with_pictures(inputs)
    for b, (ctx, (text, got)) in zip(rows, looked(model, inputs, text_rows), strict=True):
        for layer, found in zip((2, 3), got, strict=True):
            want = wanted[layer][b][:, text][..., ctx.positions]
            torch.testing.assert_close(found, want, **EXACT)
            assert found.dtype == torch.float32


@pytest.mark.parametrize("name", sorted(CASES))
def test_rows_are_right_in_every_family_or_refused_by_name(name):
    case = CASES[name]
    model = case.make("eager")
    inputs, vision = case.batch(case.prompts("ragged"))
    schedule = f"{case.drops[0][0]}:0.5"
    first = case.drops[0][0]
    shown = family_for(model.config).projections.refusal(model.config) is None
    if not shown or not all(map(attends, case.layers(model)[first - 1 : first + 1])):
        with pytest.raises(UnsupportedModelError, match="attention"):
            looked(model, inputs, text_rows, schedule)
        return
    seen = looked(model, inputs, text_rows, schedule)
    wanted = dense_attention(model, inputs)
    rows = [b for b, row in enumerate(vision) if row]
    assert len(seen) == len(rows)
    for b, (ctx, (text, got)) in zip(rows, seen, strict=True):
        for layer, found in zip((first - 1, first), got, strict=True):
            want = wanted[layer][b][:, text][..., ctx.positions]
            torch.testing.assert_close(found, want, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(n for n in KNOWN if n[-5:] != "_text" and n != "step3p5"))
def test_rows_are_right_in_every_decoder_on_the_list(name):
    if not exists(name):
        pytest.skip("this version of transformers does not have it")
    model = llava_with(name, **full_attention(name))
    case = CASES["llava"]
    inputs, vision = case.batch(case.prompts("ragged"))
    wanted = dense_attention(model, inputs)
    rows = [b for b, row in enumerate(vision) if row]
    for b, (ctx, (text, got)) in zip(rows, looked(model, inputs, text_rows), strict=True):
        for layer, found in zip((2, 3), got, strict=True):
            want = wanted[layer][b][:, text][..., ctx.positions]
            torch.testing.assert_close(found, want, **EXACT)


def test_a_decoder_that_is_not_on_the_list_is_refused():
    name = "phi3"
    model = llava_with(name, **full_attention(name))
    case = CASES["llava"]
    inputs, _ = case.batch(case.prompts("ragged"))
    with pytest.raises(UnsupportedModelError, match="phi3"):
        looked(model, inputs, text_rows)


def test_after_a_drop_rows_attend_to_what_is_left():
    """Both rows of two neighbouring layers, from the model's own attention in short layers."""
    model, inputs = make_llava(8, attn="eager"), mixed_batch("left")
    short = []
    handle = model.model.language_model.layers[4].self_attn.register_forward_hook(
        lambda module, args, output: short.append(output[1])
    )
    seen = looked(model, inputs, text_rows, "2:0.5,5:0.5")
    handle.remove()
    with v2drop.dropping(model, "2:0.5", method=Looks(lambda ctx: None)) as trace, torch.no_grad():
        model(**inputs)
    kept = trace.events[0].kept
    width = inputs["input_ids"].shape[1]
    for b, (ctx, (text, got)) in zip(rows_with_pictures(inputs), seen[3:], strict=True):
        vision = [i for i, t in enumerate(inputs["input_ids"][b].tolist()) if t == IMAGE]
        columns = [i for i in range(width) if i not in vision or i in kept[b]]
        columns = [i for i in columns if inputs["attention_mask"][b, i]]
        at = {position: place for place, position in enumerate(columns)}
        rows = [at[i] for i in text.tolist()]
        keys = [at[i] for i in ctx.positions.tolist()]
        want = short[0][b][:, rows][..., keys]
        torch.testing.assert_close(got[0], want, **EXACT)


def test_rows_of_a_later_turn_share_their_attention_with_the_turns_before():
    model = make_llava(6, attn="eager")
    first, second = one_prompt(seed=1), one_prompt(seed=2)
    whole = {
        "input_ids": torch.cat([first["input_ids"], second["input_ids"]], 1),
        "pixel_values": torch.cat([first["pixel_values"], second["pixel_values"]]),
    }
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    wanted = dense_attention(model, whole)
    past = first["input_ids"].shape[1]
    cache = DynamicCache(config=model.config)
    method = Looks(text_rows)
    with torch.no_grad():
        model(**first, **{CACHE: cache})
        mask = whole["attention_mask"]
        with v2drop.dropping(model, "3:0.5", method=method):
            turn = {**second, "attention_mask": mask}
            model(**turn, **{CACHE: cache})
    [(ctx, (text, got))] = method.seen
    for layer, found in zip((2, 3), got, strict=True):
        want = wanted[layer][0][:, text + past][..., ctx.positions + past]
        torch.testing.assert_close(found, want, **EXACT)


def test_rows_of_weights_that_are_fetched_for_each_call():
    accelerate = pytest.importorskip("accelerate")
    model, inputs = make_llava(6), mixed_batch("left")
    wanted = looked(model, inputs, text_rows)
    accelerate.cpu_offload(model, execution_device="cpu")
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    for (_, (_, got)), (_, (_, want)) in zip(looked(model, inputs, text_rows), wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_keys_are_those_that_the_cache_holds():
    model, inputs = make_llava(6), mixed_batch("left")
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**inputs, **{CACHE: cache})
    seen = looked(
        model, inputs, lambda ctx: [ctx.signals.keys(layer) for layer in (ctx.layer - 1, ctx.layer)]
    )
    for b, (ctx, got) in zip(rows_with_pictures(inputs), seen, strict=True):
        for layer, found in zip((2, 3), got, strict=True):
            want = cache.layers[layer].keys[b][:, ctx.positions]
            torch.testing.assert_close(found, want, **EXACT)


@pytest.mark.parametrize("layer", [1, 4])
def test_only_the_drop_layer_and_the_one_before_can_be_asked(layer):
    with pytest.raises(InstrumentError, match=f"layer {layer}"):
        looked(make_llava(6), one_prompt(), lambda ctx: ctx.signals.keys(layer))


# Text, question, grids, embeddings -----------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_text_question_and_embeddings_of_every_row(side):
    model, inputs = make_llava(6), mixed_batch(side)

    def look(ctx):
        signals = ctx.signals
        return signals.text(), signals.text_after(), signals.input_ids(), signals.embeddings()

    seen = looked(model, inputs, look, "2:0.5,3:0.5")
    rows = rows_with_pictures(inputs)
    embedded = model.get_input_embeddings()(inputs["input_ids"])
    for b, (_, (text, after, ids, embeddings)) in zip([*rows, *rows], seen, strict=True):
        row, mask = inputs["input_ids"][b].tolist(), inputs["attention_mask"][b].tolist()
        want = [i for i, t in enumerate(row) if t != IMAGE and mask[i]]
        last = max(i for i, t in enumerate(row) if t == IMAGE)
        assert text.tolist() == want
        assert after.tolist() == [i for i in want if i > last]
        assert ids.tolist() == row
        torch.testing.assert_close(embeddings[text], embedded[b, text])


def test_grids_and_the_order_of_what_is_alive():
    model, inputs = make_llava(6), mixed_batch()
    seen = looked(
        model, inputs, lambda ctx: (ctx.signals.grids(), ctx.signals.order()), "2:0.5,3:0.5"
    )
    rows = rows_with_pictures(inputs)
    for b, (ctx, (grids, order)) in zip([*rows, *rows], seen, strict=True):
        vision = [i for i, t in enumerate(inputs["input_ids"][b].tolist()) if t == IMAGE]
        assert [(g.h, g.w) for g in grids] == [(6, 6)] * (len(vision) // PATCHES)
        assert [vision[i] for i in order.tolist()] == ctx.positions.tolist()


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in sorted(CASES) for shape in CASES[name].shapes if shape != "images"],
)
def test_grids_add_up_to_the_tokens_or_are_not_known(name, shape):
    case = CASES[name]
    inputs, vision = case.batch(case.prompts(shape))
    seen = looked(
        case.make("sdpa"), inputs, lambda ctx: ctx.signals.grids(), f"{case.drops[0][0]}:0.5"
    )
    for row, (_, grids) in zip([row for row in vision if row], seen, strict=True):
        assert grids is None or sum(g.t * g.h * g.w for g in grids) == len(row)


# The vision tower ----------------------------------------------------------------------------


class LooksUp(Looks):
    needs: ClassVar = frozenset({TOWER})
    tower_layers = (0, -1)


def tower_look(ctx):
    found = [ctx.signals.tower(layer) for layer in (0, -1)]
    return [(row.hidden(), row.keys(), row.class_attention()) for row in found]


@pytest.mark.parametrize("encoded_before", [False, True])
def test_the_tower_shows_the_patches_of_the_alive_tokens(encoded_before):
    model, inputs = make_llava(6, attn="eager"), mixed_batch()
    with torch.no_grad():
        out = model.model.vision_tower(
            inputs["pixel_values"], output_hidden_states=True, output_attentions=True
        )
    method = LooksUp(tower_look)
    with torch.no_grad(), v2drop.dropping(model, "2:0.5,3:0.5", method=method):
        if encoded_before:
            model.generate(**inputs, max_new_tokens=2, do_sample=False)
        else:
            model(**inputs)
    rows = rows_with_pictures(inputs)
    ids = inputs["input_ids"]
    pictures = [int((ids[:b] == IMAGE).sum()) // PATCHES for b in rows]
    for b, first, (ctx, got) in zip(
        [*rows, *rows], [*pictures, *pictures], method.seen, strict=True
    ):
        vision = [i for i, t in enumerate(ids[b].tolist()) if t == IMAGE]
        order = [vision.index(i) for i in ctx.positions.tolist()]
        picture = torch.tensor([first + i // PATCHES for i in order])
        patch = torch.tensor([1 + i % PATCHES for i in order])
        for layer, (hidden, keys, attention) in zip((0, -1), got, strict=True):
            at = layer if layer >= 0 else len(out.attentions) + layer
            torch.testing.assert_close(hidden, out.hidden_states[at][picture, patch])
            want = out.attentions[at][picture, :, 0, patch].T
            torch.testing.assert_close(attention, want, **EXACT)
            block = model.model.vision_tower.encoder.layers[at]
            made = block.self_attn.k_proj(block.layer_norm1(hidden))
            torch.testing.assert_close(keys, made.unflatten(-1, (2, -1)).transpose(0, 1))


def test_a_tower_that_nobody_looked_into_and_a_block_that_is_not_there_are_refused():
    case = CASES["qwen2_vl"]
    with pytest.raises(UnsupportedModelError, match="vision tower of qwen2_vl"):
        looked(case.make("sdpa"), {}, tower_look, method=LooksUp)

    class TooHigh(LooksUp):
        tower_layers = (7,)

    with pytest.raises(InstrumentError, match="no 7"):
        looked(make_llava(6), one_prompt(), tower_look, method=TooHigh)


# What nobody asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "ask"),
    [
        (EMBEDDINGS, lambda s: s.embeddings()),
        (TEXT, lambda s: s.text()),
        (TEXT, lambda s: s.text_after()),
        (QUESTION, lambda s: s.input_ids()),
        (GRIDS, lambda s: s.grids()),
        (GRIDS, lambda s: s.order()),
        (KEYS, lambda s: s.keys(3)),
        (ATTENTION, lambda s: s.attention(torch.tensor([0]), 3)),
        (TOWER, lambda s: s.tower(0)),
        (PREVIOUS_HIDDEN, lambda s: s.previous_hidden()),
    ],
)
def test_a_signal_that_was_not_named_in_needs_is_refused(need, ask):
    class Forgot(Looks):
        needs: ClassVar = frozenset({HIDDEN})

    with pytest.raises(InstrumentError, match=need):
        looked(make_llava(6), one_prompt(), lambda ctx: ask(ctx.signals), method=Forgot)


def hooks_of(model):
    """How many hooks of this package each module has."""

    def ours(module):
        return sum("v2drop_cli" in type(h).__module__ for h in module._forward_pre_hooks.values())

    return {name: ours(module) for name, module in model.named_modules()}


# metacompress drops at layer 0 only, where other layers are hooked, and has weights for one model.
@pytest.mark.parametrize("name", [name for name in METHODS if name != "metacompress"])
def test_a_method_that_needs_no_more_adds_no_hook_and_keeps_no_arguments(name):
    model, inputs = make_llava(6), one_prompt()

    class Nothing(Method):
        name, paper = "nothing", "a test"

        def score(self, ctx):
            assert ctx.signals.here.forward.arguments == {}
            assert ctx.signals.here.forward.embeddings is None
            return ctx.positions.float()

    with v2drop.dropping(model, "3:0.5", method=Nothing()), torch.no_grad():
        bare = hooks_of(model)
        model(**inputs)
    if TOWER not in get_method(name).needs:
        with v2drop.dropping(model, "3:0", method=get_method(name)):
            assert hooks_of(model) == bare
    with v2drop.dropping(model, "3:0.5", method=LooksUp(tower_look)):
        more = {name for name, count in hooks_of(model).items() if count > bare[name]}
    assert {name.split("vision_tower.")[-1] for name in more} == {
        "model",  # where a forward ends, what was encoded for it is forgotten
        "encoder.layers.0",
        "encoder.layers.1",
    }


def test_a_row_of_attention_costs_one_query_and_the_keys_of_one_layer():
    """No product is made for what nobody asked for: linear calls are counted, row by row."""
    model, inputs = make_llava(6), one_prompt()
    calls = []

    def count(look, needs):
        method = type("Counted", (Looks,), {"needs": needs})(look)
        calls.clear()
        with torch.no_grad(), v2drop.dropping(model, "3:0.5", method=method):
            model(**inputs)
        return list(calls)

    handles = [
        module.register_forward_hook(lambda m, args, out: calls.append(args[0].shape[-2]))
        for module in model.model.language_model.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    plain = count(lambda ctx: None, frozenset())
    one_row = count(
        lambda ctx: ctx.signals.attention(ctx.signals.text()[-1:], 2),
        frozenset({PREVIOUS_HIDDEN, ATTENTION, TEXT}),
    )
    for handle in handles:
        handle.remove()
    width = inputs["input_ids"].shape[1]
    assert sorted(one_row) == sorted([*plain, 1, width])


# Before layer 0 ------------------------------------------------------------------------------


class LooksAtInput(Looks):
    needs: ClassVar = frozenset({HIDDEN, EMBEDDINGS, TEXT, GRIDS, KEYS, ATTENTION, TOWER})
    tower_layers = (-1,)


def test_a_drop_of_the_decoder_s_input_has_signals_too():
    model, inputs = make_llava(6), mixed_batch("left")
    wanted = dense_attention(model, inputs)

    def look(ctx):
        signals, rows = ctx.signals, ctx.signals.text()
        entering = torch.equal(signals.hidden(), signals.embeddings()[ctx.positions])
        assert entering == (ctx.layer == 0)
        assert signals.tower(-1).hidden().shape[0] == len(signals.order()) == len(ctx.positions)
        return rows, signals.attention(rows, ctx.layer)

    seen = looked(model, inputs, look, "0:0.5,2:0.5", method=LooksAtInput)
    for b, (ctx, (text, got)) in zip(rows_with_pictures(inputs), seen[:3], strict=True):
        torch.testing.assert_close(got, wanted[0][b][:, text][..., ctx.positions], **EXACT)


def test_a_tower_without_a_class_token_shows_its_patches_and_refuses_its_attention():
    case = CASES["paligemma"]
    model = case.make("eager")
    inputs, vision = case.batch(case.prompts("ragged"))
    with torch.no_grad():
        tower = model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True)

    def look(ctx):
        row = ctx.signals.tower(-1)
        with pytest.raises(UnsupportedModelError, match="no class token"):
            row.class_attention()
        return row.hidden()

    seen = looked(model, inputs, look, f"{case.drops[0][0]}:0.5", method=LooksUp)
    states = tower.hidden_states[len(tower.hidden_states) - 2].flatten(0, 1)
    before = 0
    for row, (ctx, got) in zip([row for row in vision if row], seen, strict=True):
        places = [before + row.index(position) for position in ctx.positions.tolist()]
        torch.testing.assert_close(got, states[places])
        before += len(row)
