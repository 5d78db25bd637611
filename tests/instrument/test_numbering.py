"""Survivors numbered anew: each layer runs as if the dropped tokens had never been there."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.instrument.test_signals import Looks
from tests.matrix.truth import model_of
from tests.methods.toys import registered
from tests.release import CACHE
from tests.tiny_llava import batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.numbering import Numbering, positions_of
from v2drop_cli.methods.base import Kept, Method, Positions

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
TWICE = "3:0.5,8:0.4"


@dataclass(frozen=True)
class Backwards(Method):
    """Keeps the last tokens, and turns their order round."""

    name: ClassVar[str] = "backwards"
    paper: ClassVar[str] = "a test"
    positions: Positions = field(default="renumbered", kw_only=True)

    def select(self, ctx):
        n = len(ctx.positions)
        return Kept(torch.arange(n - 1, n - 1 - ctx.n_keep, -1), in_order=True)


@dataclass(frozen=True)
class AllBackwards(Backwards):
    """Keeps all tokens, and turns their order round."""

    name: ClassVar[str] = "all-backwards"
    chooses_count: ClassVar[bool] = True

    def select(self, ctx):
        return Kept(torch.arange(len(ctx.positions) - 1, -1, -1), in_order=True)


@dataclass(frozen=True)
class EntryOnly(Method):
    """Random, with new numbers after a drop at layer 0 and no new ones after later drops."""

    name: ClassVar[str] = "entry-only"
    paper: ClassVar[str] = "a test"

    def positions_at(self, layer):
        return "original" if layer else "renumbered"

    def score(self, ctx):
        draw = torch.Generator().manual_seed(len(ctx.positions))
        return torch.rand(len(ctx.positions), generator=draw)


@dataclass(frozen=True)
class LaterOnly(EntryOnly):
    """The other way round: new numbers after all drops but that at layer 0."""

    name: ClassVar[str] = "later-only"

    def positions_at(self, layer):
        return "renumbered" if layer else "original"


def entering(model, inputs):
    """``[L, D]``: what the first layer is given, picture features in place."""
    seen = []
    layers = model.model.language_model.layers
    handle = layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0][0]))
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    return seen[0]


def anew(layer, positions):
    """Numbers for columns at ``positions``: one after the other."""
    return torch.arange(len(positions))


def as_before(layer, positions):
    return positions


def by_hand(model, states, drops, numbers=anew, look=None):
    """Logits ``[W, V]`` of one unpadded row, layer by layer over the shortened sequence.

    Args:
        states: ``[L, D]`` entering layer 0.
        drops: layer → the columns of ``states`` that are left from it on, in their order.
        numbers: called with (layer, positions of the columns left) where a layer drops; gives
            the positions that they have from there on.
        look: called with (layer, its attention weights ``[H, W, W]``).
    """
    decoder = model.model.language_model
    columns = list(range(len(states)))
    positions = torch.arange(len(states))
    hidden = states[None]
    for i, layer in enumerate(decoder.layers):
        if i in drops:
            places = [columns.index(column) for column in drops[i]]
            columns, hidden, positions = drops[i], hidden[:, places], positions[places]
            positions = numbers(i, positions)
        rope = decoder.rotary_emb(hidden, positions[None])
        width = hidden.shape[1]
        mask = torch.full((width, width), float("-inf")).triu(1)[None, None]
        with torch.no_grad():
            if look is not None:
                normed = layer.input_layernorm(hidden)
                look(i, layer.self_attn(normed, rope, mask)[1][0])
            at = {"position_embeddings": rope, "position_ids": positions[None]}
            hidden = layer(hidden, attention_mask=mask, **at)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    with torch.no_grad():
        return model.lm_head(decoder.norm(hidden))[0]


def left_by(trace, vision, length, row=0):
    """Per drop layer, the columns that are left: text, and kept tokens in their order."""
    drops = {}
    for event in trace.events:
        kept = list(event.kept[row])
        columns, waiting = [], iter(kept)
        stays = set(kept)
        for column in range(length):
            if column in stays:
                columns.append(next(waiting))
            elif column not in vision:
                columns.append(column)
        drops[event.layer] = columns
    return drops


def vision_of(inputs, row=0):
    return [i for i, token in enumerate(inputs["input_ids"][row].tolist()) if token == 3]


@pytest.mark.parametrize("method", ["random:positions=renumbered", Backwards()], ids=str)
@pytest.mark.parametrize("schedule", [TWICE, "0:0.5", "0:0.5,6:0.3"])
def test_logits_are_those_of_the_shortened_sequence_by_hand(method, schedule):
    model, inputs = make_llava(10), one_prompt(images=2)
    with torch.no_grad(), v2drop.dropping(model, schedule, method=method) as trace:
        logits = model(**inputs).logits[0]
    length = inputs["input_ids"].shape[1]
    drops = left_by(trace, vision_of(inputs), length)
    expected = by_hand(model, entering(model, inputs), drops)
    torch.testing.assert_close(logits[-5:], expected[-5:], **CLOSE)
    # The numbers do matter: with those of the prompt something else comes out.
    other = by_hand(model, entering(model, inputs), drops, as_before)
    assert not torch.allclose(other[-5:], expected[-5:], atol=1e-3)


@pytest.mark.parametrize("layer", [0, 3])
def test_tokens_that_all_stay_may_still_be_moved(layer):
    model, inputs = make_llava(6), one_prompt()
    with torch.no_grad(), v2drop.dropping(model, f"{layer}:0.5", method=AllBackwards()) as trace:
        logits = model(**inputs).logits[0]
    vision = vision_of(inputs)
    assert list(trace.events[0].kept[0]) == vision[::-1]
    drops = left_by(trace, vision, inputs["input_ids"].shape[1])
    expected = by_hand(model, entering(model, inputs), drops)
    torch.testing.assert_close(logits[-5:], expected[-5:], **CLOSE)


def test_a_cache_that_starts_over_may_have_other_rows():
    model, cache = make_llava(6), DynamicCache()
    with torch.no_grad(), v2drop.dropping(model, "2:0.5,4:0.5", method="pyramiddrop"):
        expected = model(**mixed_batch()).logits
        model(**one_prompt(seed=1), **{CACHE: cache}, use_cache=True)
        empty(cache)
        got = model(**mixed_batch(), **{CACHE: cache}, use_cache=True).logits
        torch.testing.assert_close(got, expected, **CLOSE)
        # Then a prompt that drops nothing: the next token finds no trace of what was held before.
        empty(cache)
        text = torch.tensor([[1, 7, 8, 9]])
        model(input_ids=text[:, :3], **{CACHE: cache}, use_cache=True)
        got = model(input_ids=text[:, 3:], **{CACHE: cache}, use_cache=True).logits
        torch.testing.assert_close(got, model(input_ids=text).logits[:, 3:], **CLOSE)


def empty(cache):
    cache.reset()
    if cache.get_seq_length():
        pytest.skip("this version of transformers writes zeros and keeps the length")


def test_a_cache_whose_rows_were_repeated():
    """Of one row all copies are alike; of two, nobody knows which row is whose copy."""
    model, answer = make_llava(6), torch.tensor([[7, 8]] * 4)
    for seeds in ([1], [1, 2]):
        inputs, cache = batch([row(3, 1, 5, seed) for seed in seeds]), DynamicCache()
        with torch.no_grad(), v2drop.dropping(model, "2:0.5", method="pyramiddrop"):
            model(**inputs, **{CACHE: cache}, use_cache=True)
            for layer in cache.layers:
                layer.batch_repeat_interleave(4 // len(seeds))
            if len(seeds) == 1:
                rows = model(input_ids=answer, **{CACHE: cache}, use_cache=True).logits
                torch.testing.assert_close(rows, rows[:1].expand_as(rows), **CLOSE)
                continue
            with pytest.raises(InstrumentError, match="2 rows, the new tokens 4"):
                model(input_ids=answer, **{CACHE: cache}, use_cache=True)


def test_each_drop_says_whether_it_numbers_anew():
    model, inputs = make_llava(10), one_prompt()
    with torch.no_grad(), v2drop.dropping(model, "0:0.5,6:0.3", method=EntryOnly()) as trace:
        output = model.generate(
            **inputs, max_new_tokens=3, do_sample=False, return_dict_in_generate=True,
            output_logits=True,
        )  # fmt: skip
    whole = {**inputs, "input_ids": output.sequences}
    whole["attention_mask"] = torch.ones_like(output.sequences)
    length = output.sequences.shape[1]
    drops = left_by(trace, vision_of(inputs), length)

    def numbers(layer, positions):
        return positions if layer else anew(layer, positions)

    expected = by_hand(model, entering(model, whole), drops, numbers)
    torch.testing.assert_close(torch.cat(output.logits), expected[-4:-1], **CLOSE)


@pytest.mark.parametrize("schedule", [TWICE, "0:0.5"])
def test_an_answer_goes_on_counting_what_each_layer_holds(schedule):
    model, inputs = make_llava(10), one_prompt()
    with torch.no_grad(), v2drop.dropping(model, schedule, method=Backwards()) as trace:
        output = model.generate(
            **inputs, max_new_tokens=4, do_sample=False, return_dict_in_generate=True,
            output_logits=True,
        )  # fmt: skip
    whole = {**inputs, "input_ids": output.sequences}
    whole["attention_mask"] = torch.ones_like(output.sequences)
    drops = left_by(trace, vision_of(inputs), output.sequences.shape[1])
    expected = by_hand(model, entering(model, whole), drops)
    torch.testing.assert_close(torch.cat(output.logits), expected[-5:-1], **CLOSE)


def rows_alone(inputs):
    """Each row of a batch: where its tokens are, and its prompt without padding."""
    pixels = iter(inputs["pixel_values"])
    for b, mask in enumerate(inputs["attention_mask"].bool()):
        ids = inputs["input_ids"][b][mask][None]
        alone = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if images := ids[0].tolist().count(3) // 36:
            alone["pixel_values"] = torch.stack([next(pixels) for _ in range(images)])
        yield (b, mask), alone


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("schedule", [TWICE, "0:7t,5:0.5"])
def test_rows_of_a_batch_are_as_alone(side, schedule):
    model, inputs = make_llava(10), mixed_batch(side)
    with torch.no_grad(), v2drop.dropping(model, schedule, method=Backwards()):
        together = model(**inputs).logits
    for place, alone in rows_alone(inputs):
        with torch.no_grad(), v2drop.dropping(model, schedule, method=Backwards()):
            logits = model(**alone).logits
        torch.testing.assert_close(together[place][-2:], logits[0, -2:], **CLOSE)


def test_answers_of_a_batch_go_on_counting_as_alone():
    """Each row lost another number of columns, so its next token has another number."""
    model, inputs, method = make_llava(10), mixed_batch("left"), Backwards()
    more = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False,
            "return_dict_in_generate": True, "output_logits": True}  # fmt: skip
    with torch.no_grad(), v2drop.dropping(model, TWICE, method=method):
        together = model.generate(**inputs, **more).logits
    for (b, _), alone in rows_alone(inputs):
        with torch.no_grad(), v2drop.dropping(model, TWICE, method=method):
            logits = model.generate(**alone, **more).logits
        ours = torch.stack([step[b] for step in together])
        torch.testing.assert_close(ours, torch.cat(logits), **CLOSE)


def two_turns(model, schedule, method, first, second):
    """Logits of the second turn, the whole prompt of both, and which columns each drop left."""
    cache = DynamicCache()
    ids = torch.cat([first["input_ids"], second["input_ids"]], dim=1)
    mask = torch.ones_like(ids)
    later = {**second, "attention_mask": mask}
    with torch.no_grad(), v2drop.dropping(model, schedule, method=method) as trace:
        model(**first, **{CACHE: cache}, use_cache=True)
        logits = model(**later, **{CACHE: cache}, use_cache=True).logits[0]
    pixels = torch.cat([first["pixel_values"], second["pixel_values"]])
    whole = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}
    vision, middle = vision_of(whole), first["input_ids"].shape[1]
    kept = {}
    for event in trace.events:
        kept.setdefault(event.layer, []).append(event.kept[0])
    assert max(kept[trace.events[0].layer][1]) >= middle
    drops, left = {}, vision
    for layer, turns in sorted(kept.items()):
        if len(turns) == 1:  # the second turn kept there what it had
            turns.append([column for column in left if column >= middle])
        left = [*turns[0], *turns[1]]
        waiting, stays = iter(left), set(left)
        columns = [c for c in range(ids.shape[1]) if c in stays or c not in vision]
        drops[layer] = [next(waiting) if c in stays else c for c in columns]
    return logits, whole, drops


@pytest.mark.parametrize("schedule", [TWICE, "0:0.5"])
def test_a_second_turn_with_a_picture_of_its_own(schedule):
    model, turns = make_llava(10), (one_prompt(seed=1), one_prompt(seed=2))
    logits, whole, drops = two_turns(model, schedule, Backwards(), *turns)
    expected = by_hand(model, entering(model, whole), drops)
    torch.testing.assert_close(logits[-5:], expected[-5:], **CLOSE)


def test_a_second_turn_that_numbers_nothing_anew_goes_on_after_the_first():
    """Its own survivors keep their gaps, and are as far down as the first turn ended."""
    model, turns = make_llava(10), (one_prompt(images=2, seed=1), one_prompt(seed=2))
    logits, whole, drops = two_turns(model, "0:0.5,6:20t", LaterOnly(), *turns)
    middle = turns[0]["input_ids"].shape[1]

    def numbers(layer, positions):
        if layer == 0:
            return positions
        n = sum(column < middle for column in drops[layer])
        return torch.cat([torch.arange(n), positions[n:] - middle + n])

    expected = by_hand(model, entering(model, whole), drops, numbers)
    torch.testing.assert_close(logits[-5:], expected[-5:], **CLOSE)


def test_attention_and_keys_are_those_of_the_new_numbers():
    model, inputs = make_llava(10, attn="eager"), one_prompt()

    def look(ctx):
        rows = ctx.signals.text()
        before, here = (ctx.signals.attention(rows, ctx.layer - i) for i in (1, 0))
        return rows, before, here

    method = Looks(look)
    object.__setattr__(method, "positions", "renumbered")
    with torch.no_grad(), v2drop.dropping(model, TWICE, method=method) as trace:
        model(**inputs)
    drops = left_by(trace, vision_of(inputs), inputs["input_ids"].shape[1])
    # The second drop sees what the first one left; it is looked at before it drops itself.
    seen = {}
    by_hand(model, entering(model, inputs), {3: drops[3]}, look=seen.__setitem__)
    ctx, (rows, before, here) = method.seen[1]
    places = torch.tensor([drops[3].index(row) for row in rows.tolist()])
    vision = torch.tensor([drops[3].index(c) for c in ctx.positions.tolist()])
    for found, layer in ((before, 7), (here, 8)):
        torch.testing.assert_close(found, seen[layer][:, places][:, :, vision], atol=1e-5, rtol=0)


def test_keeping_all_changes_nothing():
    model, inputs = make_llava(6), one_prompt()
    with torch.no_grad():
        dense = model(**inputs).logits
        with v2drop.dropping(model, "2:1.0", method="random:positions=renumbered") as trace:
            assert torch.equal(model(**inputs).logits, dense)
    assert not trace.events


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl"])
def test_three_axes_of_positions_are_refused_by_name(name):
    model = model_of(name, "sdpa")
    with (
        pytest.raises(UnsupportedModelError, match="M-RoPE") as caught,
        v2drop.dropping(model, "1:0.5", method="random:positions=renumbered"),
    ):
        pass
    assert caught.value.hint == "write random:positions=original"
    with v2drop.dropping(model, "1:0.5", method="random:positions=original"):
        pass


def test_a_decoder_without_a_rotary_module_is_refused(monkeypatch):
    model = make_llava(4)
    del model.model.language_model.rotary_emb
    with (
        pytest.raises(UnsupportedModelError, match="no rotary module"),
        v2drop.dropping(model, "1:0.5", method=Backwards()),
    ):
        pass


@pytest.mark.parametrize(
    "told", [None, torch.arange(4), torch.zeros(3, 1, 4)], ids=["none", "1-D", "3-D"]
)
def test_a_decoder_that_tells_no_positions_of_its_rows(told):
    with pytest.raises(InstrumentError, match="positions"):
        positions_of({"position_ids": told})


def test_a_numbering_does_not_change():
    with pytest.raises(FrozenInstanceError):
        Numbering(None).rotary = 1


def test_the_parameter_is_recorded_and_written(monkeypatch):
    from v2drop_cli.methods.parameters import parameters_of, written
    from v2drop_cli.methods.registry import get_method

    registered(monkeypatch, Backwards)
    assert parameters_of(get_method("v2drop")) == {"positions": "original"}
    assert written(get_method("v2drop:positions=renumbered")) == "v2drop:positions=renumbered"
    assert written(get_method("backwards:positions=renumbered")) == "backwards"
