"""What each layer's call becomes, on layers that only fill a cache: every column can be counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from transformers import DynamicCache, LlamaConfig

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.context import DROP_BEGINS, DROP_ENDS, DropState
from v2drop_cli.instrument.here import Reader
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.numbering import Numbering
from v2drop_cli.methods.base import (
    EMBEDDINGS,
    HIDDEN,
    PREVIOUS_HIDDEN,
    QUESTION,
    Kept,
    Method,
)
from v2drop_cli.models.families.llava import LLAVA
from v2drop_cli.schedule import Schedule

CONFIG = LlamaConfig(num_hidden_layers=7, attn_implementation="eager")
NAMED = frozenset({"past_key_values", "attention_mask", "position_ids", "position_embeddings"})
N_LAYERS, SIZE = 7, 4


@dataclass(frozen=True)
class Chosen(Method):
    """Keeps the tokens at the prompt positions given for each layer; notes what it was asked."""

    name, paper = "chosen", "a test"
    keeps: Any = None
    merged: bool = False

    def __post_init__(self):
        object.__setattr__(self, "asked", [])

    def select(self, ctx):
        self.asked.append((ctx.layer, ctx.n_keep, ctx.positions.tolist(), ctx.seed))
        stays = [i for i, p in enumerate(ctx.positions.tolist()) if p in self.keeps[ctx.layer]]
        if not self.merged:
            return Kept(torch.tensor(stays, dtype=torch.long))
        # Into the last survivor goes the first that leaves.
        gone = next(i for i in range(len(ctx.positions)) if i not in stays)
        sources = torch.full((len(ctx.positions),), -1)
        sources[gone] = len(stays) - 1
        states = ctx.signals.hidden()[torch.tensor(stays)].clone()
        states[-1] += 100
        return Kept(torch.tensor(stays), states, sources)


class Layers:
    """A decoder whose layers hand their input on; what each was given is kept in `calls`."""

    def __init__(self, schedule, method, needs=frozenset(), seed=5):
        call = LayerCall(CONFIG, "past_key_values", NAMED)
        object.__setattr__(method, "needs", frozenset({HIDDEN, *needs}))
        self.marks = []
        reader = Reader(call, method.needs, LLAVA, None, [None] * N_LAYERS)
        self.state = DropState(Schedule.parse(schedule), method, reader, seed, self.marks.append)
        self.cache = DynamicCache(config=CONFIG)
        self.calls = {}

    def run(self, hidden, **more):
        """One forward; returns the decoder's output, at its full length or shortened."""
        batch, width = hidden.shape[:2]
        tables = torch.arange(width).float()[None, :, None].expand(1, width, 2)
        kwargs = {
            "past_key_values": self.cache,
            "attention_mask": "the decoder's own",
            "position_ids": torch.arange(width)[None],
            "position_embeddings": (tables, tables + 0.5),
            **more,
        }
        for layer in range(N_LAYERS):
            changed = None
            if layer >= self.state.first_hooked:
                changed = self.state.enter_layer(layer, hidden, kwargs)
            hidden, given = (hidden, kwargs) if changed is None else changed
            self.calls[layer] = (hidden, given, changed is not None)
            if kwargs["past_key_values"] is not None:
                keys = torch.zeros(batch, 1, hidden.shape[1], 1)
                kwargs["past_key_values"].update(keys, keys, layer)
        full = self.state.finish(hidden)
        return hidden if full is None else full

    def columns(self, layer, row=0):
        """Which columns a layer was given, by the number that each holds."""
        return self.calls[layer][0][row, :, 1].tolist()

    def attends(self, layer, row=0):
        """`[W, P + W]` bool of the mask that a layer was given."""
        return (self.calls[layer][1]["attention_mask"][row, 0] == 0).tolist()


def states(batch, width, first=0):
    """`[batch, width, 4]`: row, column, 1, 1."""
    found = torch.ones(batch, width, SIZE)
    found[..., 0] = torch.arange(batch)[:, None]
    found[..., 1] = torch.arange(first, first + width)
    return found


def positions(*rows):
    return tuple(torch.tensor(row, dtype=torch.long) for row in rows)


def causal(width, past=0):
    return [[key <= past + row for key in range(past + width)] for row in range(width)]


def example_of():
    return {3: {2, 4, 7}, 5: {4}}


@pytest.fixture
def example():
    """The forward that the module's head works through."""
    layers = Layers("3:0.5,5:1t", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), torch.ones(1, 10), 10)
    layers.output = layers.run(states(1, 10))
    return layers


# The forward of the module's head ------------------------------------------------------------


def test_layers_get_the_columns_that_are_left(example):
    assert example.state.first_hooked == 2
    assert [example.calls[layer][2] for layer in range(7)] == [False] * 3 + [True] * 4
    assert example.columns(2) == list(range(10))
    assert example.columns(3) == example.columns(4) == [0, 1, 2, 4, 7, 8, 9]
    assert example.columns(5) == example.columns(6) == [0, 1, 4, 8, 9]


def test_masks_and_tables_are_of_these_columns(example):
    for layer, width in [(3, 7), (4, 7), (5, 5), (6, 5)]:
        assert example.attends(layer) == causal(width)
        hidden, given, _ = example.calls[layer]
        cos, sin = given["position_embeddings"]
        assert torch.equal(cos[0, :, 0], hidden[0, :, 1])
        assert torch.equal(sin[0, :, 0], hidden[0, :, 1] + 0.5)
        assert given["position_ids"] is None
        assert given["past_key_values"] is example.cache
    # One mask serves all layers up to the next drop.
    masks = [example.calls[layer][1]["attention_mask"] for layer in (3, 4, 5, 6)]
    assert masks[0] is masks[1]
    assert masks[2] is masks[3]


def test_survivors_are_put_back_and_the_rest_is_zero(example):
    wanted = states(1, 10)
    wanted[0, [2, 3, 5, 6, 7]] = 0
    assert torch.equal(example.output, wanted)
    assert example.state.forward is None


def test_the_method_is_asked_in_prompt_positions_and_the_trace_tells_them(example):
    assert example.state.method.asked == [(3, 3, [2, 3, 4, 5, 6, 7], 5), (5, 1, [2, 4, 7], 5)]
    first, second = example.state.trace.events
    assert (first.layer, first.before, first.after) == (3, (6,), (3,))
    assert (second.layer, second.before, second.after) == (5, (3,), (1,))
    assert (first.kept, second.kept) == (((2, 4, 7),), ((4,),))
    assert (first.sources, second.sources) == (None, None)


def test_a_clock_is_told_of_each_drop_and_of_putting_back(example):
    assert example.marks == [DROP_BEGINS, DROP_ENDS] * 3
    example.state.begin((), torch.ones(1, 11), 1)
    example.run(states(1, 1, 10))
    assert example.marks == [DROP_BEGINS, DROP_ENDS] * 3


def test_the_next_token_attends_to_what_each_layer_holds(example):
    example.state.begin((), torch.ones(1, 11), 1)
    output = example.run(states(1, 1, 10))
    for layer in range(7):
        assert example.columns(layer) == [10]
    lengths = [example.cache.get_seq_length(layer) for layer in range(7)]
    assert lengths == [11, 11, 11, 8, 8, 6, 6]
    assert [example.calls[layer][2] for layer in range(7)] == [False] * 3 + [True] * 4
    assert example.attends(3) == example.attends(4) == [[True] * 8]
    assert example.attends(5) == example.attends(6) == [[True] * 6]
    given = example.calls[3][1]
    assert given["position_ids"].tolist() == [[0]]  # the decoder's own
    assert torch.equal(output, states(1, 1, 10))


def test_a_later_turn_drops_its_own_tokens_at_positions_of_the_whole_sequence(example):
    example.state.begin((), torch.ones(1, 11), 1)
    example.run(states(1, 1, 10))
    example.state.method.keeps.update({3: {2}, 5: {2}})
    example.state.begin(positions([1, 2]), torch.ones(1, 15), 4)
    example.run(states(1, 4, 11))
    assert example.columns(3) == [11, 13, 14]
    assert example.attends(3) == causal(3, past=8)
    assert example.attends(6) == causal(3, past=6)
    assert [event.kept for event in example.state.trace.events[2:]] == [((13,),)]
    assert [example.cache.get_seq_length(layer) for layer in (0, 3, 6)] == [15, 11, 9]


def test_a_cropped_cache_is_known_as_long_as_only_text_went(example):
    example.cache.crop(-1)
    example.state.begin((), torch.ones(1, 10), 1)
    example.run(states(1, 1, 9))
    assert example.attends(3) == [[True] * 7]
    assert example.attends(6) == [[True] * 5]
    example.cache.crop(-3)
    example.state.begin((), torch.ones(1, 8), 1)
    with pytest.raises(InstrumentError, match="cropped"):
        example.run(states(1, 1, 8))


def test_the_only_token_of_an_only_row_needs_no_mask(example):
    """Then the kernel's path without a mask stays open while text is generated."""
    for width, first, padded in ((1, 10, False), (2, 11, True)):
        example.state.begin((), torch.ones(1, first + width), width)
        example.run(states(1, width, first))
        known = [example.state.book.known(example.cache, layer) for layer in (3, 6)]
        assert [columns.valid is not None for columns in known] == [padded] * 2


def test_a_crop_into_the_second_of_two_pictures_is_refused(example):
    example.state.method.keeps.update({3: {1}, 5: {1}})
    example.state.begin(positions([1, 2]), torch.ones(1, 14), 4)
    example.run(states(1, 4, 10))
    example.cache.crop(-1)
    example.state.begin((), torch.ones(1, 14), 1)
    example.run(states(1, 1, 13))
    example.cache.crop(-3)
    example.state.begin((), torch.ones(1, 12), 1)
    with pytest.raises(InstrumentError, match="cropped"):
        example.run(states(1, 1, 11))


# Rows of a batch -----------------------------------------------------------------------------


@pytest.fixture
def ragged():
    """Three rows of 6: padded on the left and one vision token more; no vision at all; plain."""
    layers = Layers("3:0.5", Chosen({3: {3, 4}}))
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1] * 6])
    layers.state.begin(positions([2, 3, 4, 5], [], [3, 4]), mask, 6)
    layers.state.method.keeps[3] = {3, 4}
    return layers, mask


def test_rows_are_shortened_each_by_its_own_and_padding_goes_first(ragged):
    layers, mask = ragged
    layers.state.method.keeps[3] = {3}
    layers.state.begin(positions([2, 3], [], [3, 4]), mask, 6)
    output = layers.run(states(3, 6))
    assert layers.columns(3, 0)[:4] == [1, 3, 4, 5]
    assert layers.columns(3, 1)[:4] == [2, 3, 4, 5]
    assert layers.columns(3, 2) == [0, 1, 2, 3, 5]
    told = [[True, True, True, True, False]] * 2 + [[True] * 5]
    for row in range(3):
        wanted = [[k and t for k, t in zip(keys, told[row], strict=True)] for keys in causal(5)]
        assert layers.attends(3, row)[:4] == wanted[:4]
    kept = [[1, 3, 4, 5], [2, 3, 4, 5], [0, 1, 2, 3, 5]]
    for row in range(3):
        assert [c for c in range(6) if output[row, c].any()] == kept[row]
        assert output[row, kept[row], 1].tolist() == kept[row]
    [event] = layers.state.trace.events
    assert (event.before, event.after, event.kept) == ((2, 0, 2), (1, 0, 1), ((3,), (), (3,)))


def test_filler_and_padding_stay_out_of_the_next_tokens_sight(ragged):
    layers, mask = ragged
    layers.state.method.keeps[3] = {3}
    layers.state.begin(positions([2, 3], [], [3, 4]), mask, 6)
    layers.run(states(3, 6))
    layers.state.begin((), torch.cat([mask, torch.ones(3, 1)], 1), 1)
    layers.run(states(3, 1, 6))
    assert layers.attends(3, 0) == layers.attends(3, 1) == [[True] * 4 + [False, True]]
    assert layers.attends(3, 2) == [[True] * 6]


def test_padding_among_the_columns_of_a_later_turn_stays_out_of_sight(ragged):
    layers, mask = ragged
    layers.state.method.keeps[3] = {3}
    layers.state.begin(positions([2, 3], [], [3, 4]), mask, 6)
    layers.run(states(3, 6))
    turn = torch.tensor([[0, 1], [1, 1], [1, 1]])
    layers.state.begin((), torch.cat([mask, turn], 1), 2)
    layers.run(states(3, 2, 6))
    assert layers.attends(3, 0)[1] == [True] * 4 + [False, False, True]
    assert layers.attends(3, 1)[1] == [True] * 4 + [False, True, True]
    assert layers.attends(3, 2)[1] == [True] * 7


@pytest.mark.parametrize("padded_before", [True, False])
def test_a_picture_after_text_attends_to_the_text_but_not_to_its_padding(padded_before):
    layers = Layers("3:0.5", Chosen({3: {3}}))
    before = torch.tensor([[0, 1], [1, 1]]) if padded_before else None
    layers.state.begin((), before, 2)
    layers.run(states(2, 2))
    mask = torch.cat([before, torch.ones(2, 4)], 1) if padded_before else None
    layers.state.begin(positions([2, 3], [2, 3]), mask, 4)
    layers.run(states(2, 4, 2))
    assert layers.columns(3) == [2, 3, 5]
    assert layers.attends(3, 0)[2] == [not padded_before, *[True] * 4]
    assert layers.attends(3, 1)[2] == [True] * 5


def test_without_a_mask_nothing_is_padding(example):
    example.state.begin((), None, 2)
    example.run(states(1, 2, 10))
    assert example.attends(3) == causal(2, past=7)
    assert example.attends(6) == causal(2, past=5)


def test_a_second_drop_keeps_out_the_filler_of_the_first():
    layers = Layers("2:0.5,4:1t", Chosen({2: {0, 1, 2}, 4: {2}}))
    layers.state.begin(positions([1, 2, 3, 4], [0, 5]), None, 6)
    layers.run(states(2, 6))
    assert layers.columns(2, 0)[:4] == [0, 1, 2, 5]
    assert layers.columns(2, 1) == [0, 1, 2, 3, 4]
    assert layers.columns(4, 0)[:3] == [0, 2, 5]
    assert layers.attends(4, 0)[2] == [True] * 3 + [False] * 2
    events = layers.state.trace.events
    assert [event.kept for event in events] == [((1, 2), (0,)), ((2,), (0,))]


# Choices of the method -----------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [("1.0", 6), ("0", 0)])
def test_all_or_nothing_needs_no_method(keep, left):
    layers = Layers(f"3:{keep}", Chosen(None))
    layers.state.begin(positions(range(2, 8)), None, 10)
    layers.run(states(1, 10))
    assert layers.state.method.asked == []
    assert len(layers.columns(3)) == 4 + left
    assert [event.after for event in layers.state.trace.events] == ([] if left else [(0,)])
    assert layers.calls[3][2] == (not left)


def test_rows_that_keep_all_are_not_asked_about_while_others_drop():
    layers = Layers("3:2t", Chosen({3: {1, 2}}))
    layers.state.begin(positions([1, 2], [1, 2, 3]), None, 5)
    layers.run(states(2, 5))
    assert [asked[:3] for asked in layers.state.method.asked] == [(3, 2, [1, 2, 3])]
    [event] = layers.state.trace.events
    assert event.kept == ((1, 2), (1, 2))


class Choosing(Chosen):
    name, chooses_count = "choosing", True


def test_a_method_that_chooses_is_asked_whatever_the_schedule_says():
    method = Choosing({2: {2, 3, 4, 5, 6, 7}, 3: {2, 3}, 4: {3}})
    layers = Layers("2:0,3:1.0,4:1t", method)
    layers.state.begin(positions(range(2, 8), []), None, 10)
    layers.run(states(2, 10))
    assert [asked[:2] for asked in method.asked] == [(2, 0), (3, 6), (4, 1)]
    # That it keeps all is told, too, and changes nothing.
    assert [(event.layer, event.before, event.after) for event in layers.state.trace.events] == [
        (2, (6, 0), (6, 0)), (3, (6, 0), (2, 0)), (4, (2, 0), (1, 0)),
    ]  # fmt: skip
    assert layers.state.trace.events[0].kept == ((2, 3, 4, 5, 6, 7), ())
    assert not layers.calls[2][2]


def test_merged_states_enter_the_layer_and_nothing_is_written_into_the_old_ones():
    layers = Layers("3:0.5,5:2t", Chosen({3: {2, 4, 7}, 5: {2, 7}}, merged=True))
    layers.state.begin(positions(range(2, 8)), None, 10)
    before = states(1, 10)
    layers.run(before)
    assert torch.equal(before, states(1, 10))
    assert layers.columns(3) == [0, 1, 2, 4, 107, 8, 9]
    assert layers.columns(5) == [0, 1, 2, 207, 8, 9]
    first, second = layers.state.trace.events
    assert first.sources == (((), (), (3,)),)
    assert second.sources == (((), (4,)),)


def test_merging_in_one_row_leaves_the_others_without_sources():
    layers = Layers("3:2t", Chosen({3: {1, 3}}, merged=True))
    layers.state.begin(positions([1, 2], [1, 2, 3], [1, 3, 4]), None, 6)
    layers.run(states(3, 6))
    [event] = layers.state.trace.events
    assert event.merges[0] is None
    assert event.sources == (((), ()), ((), (2,)), ((), (4,)))
    assert layers.columns(3, 0)[:5] == [0, 1, 2, 3, 4]
    assert layers.columns(3, 1)[:5] == [0, 1, 103, 4, 5]
    assert layers.columns(3, 2)[:5] == [0, 1, 2, 103, 5]


# What a method looks at ----------------------------------------------------------------------


def test_arguments_and_embeddings_are_kept_for_those_who_need_them_only():
    for needs, wanted in [((), {}), ((QUESTION,), {"input_ids": 1})]:
        state = Layers("3:0.5", Chosen({}), needs).state
        state.look({"input_ids": 1})  # before a forward: nobody to keep it for
        state.begin(positions([1]), None, 3)
        state.look({"input_ids": 1})
        assert state.forward.arguments == wanted
    for needs, wanted in [((), None), ((EMBEDDINGS,), 7)]:
        state = Layers("3:0.5", Chosen({}), needs).state
        state.look_at_input({"inputs_embeds": 7})
        state.begin(positions([1]), None, 3)
        state.look_at_input({"inputs_embeds": 7})
        assert state.forward.embeddings == wanted


def test_the_layer_before_a_drop_is_remembered_and_no_other():
    seen = {}

    class Looks(Chosen):
        def select(self, ctx):
            seen[ctx.layer] = ctx.signals.previous_hidden()[:, 1].tolist()
            return super().select(ctx)

    layers = Layers("3:0.5,5:1t", Looks(example_of()), {PREVIOUS_HIDDEN})
    state = layers.state
    state.begin(positions(range(2, 8)), None, 10)
    held, enter = [], state.enter_layer

    def noting(layer, hidden, kwargs):
        changed = enter(layer, hidden, kwargs)
        held.append(None if state.forward.previous is None else state.forward.previous.shape[1])
        return changed

    state.enter_layer = noting
    layers.run(states(1, 10))
    assert held == [10, None, 7, None, None]  # from layer 2, the first hooked
    assert seen == {3: [2, 3, 4, 5, 6, 7], 5: [2, 4, 7]}
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), None, 10)
    layers.state.enter_layer(2, states(1, 10), {"past_key_values": None})
    assert layers.state.forward.previous is None


# Beginnings ----------------------------------------------------------------------------------


def test_lengths_are_counted_where_there_is_padding_to_leave_out():
    state = Layers("3:0.5", Chosen({})).state
    mask = torch.tensor([[0, 1, 1, 1, 1], [1] * 5])
    state.begin(positions([1], [1]), mask, 4)
    forward = state.forward
    assert forward.lengths == (4, 4)
    state.begin(positions([1], [1]), mask, 5)
    forward = state.forward
    assert (forward.lengths, forward.width, forward.foreign_mask) == ((4, 5), 5, False)
    assert [row.tolist() for row in forward.alive] == [[1], [1]]
    assert forward.padding.dtype == torch.bool
    state.begin(positions([1], [1]), None, 5)
    assert (state.forward.lengths, state.forward.padding) == ((5, 5), None)
    state.begin((), mask, 5)
    assert state.forward.lengths == ()
    state.abandon()
    assert state.forward is None


def test_outside_of_a_forward_nothing_is_changed():
    state = Layers("3:0.5", Chosen({})).state
    assert state.enter_layer(3, states(1, 4), {}) is None
    assert state.finish(states(1, 4)) is None


@pytest.mark.parametrize(
    ("schedule", "hooked"), [("0:0.5", 0), ("1:0.5", 0), ("2:0.5,6:0", 1), ("6:0", 5)]
)
def test_hooks_begin_one_layer_before_the_first_drop(schedule, hooked):
    state = Layers(schedule, Chosen({})).state
    assert state.first_hooked == hooked
    assert not state.encoded


def test_text_is_left_alone():
    layers = Layers("3:0.5", Chosen({}))
    layers.state.begin((), torch.ones(1, 4), 4)
    output = layers.run(states(1, 4))
    assert not any(changed for _, _, changed in layers.calls.values())
    assert layers.marks == []
    assert torch.equal(output, states(1, 4))


def test_nobody_has_to_be_told_of_drops():
    layers = Layers("3:0.5", Chosen(example_of()))
    reader = layers.state.reader
    layers.state = DropState(Schedule.parse("3:0.5"), layers.state.method, reader, 0)
    layers.state.begin(positions(range(2, 8)), None, 10)
    layers.run(states(1, 10))
    assert len(layers.state.trace.events) == 1


# New numbers ---------------------------------------------------------------------------------


def test_survivors_numbered_anew_and_what_follows_them():
    """Each layer counts what it holds: 7 columns from layer 3 on, 5 from layer 5 on."""
    layers = Layers("3:0.5,5:1t", Chosen(example_of(), positions="renumbered"))
    numbering = Numbering(lambda hidden, at: (at[..., None].float(), at[..., None] + 0.5))
    layers.state.reader = replace(layers.state.reader, numbering=numbering)
    for width, first in ((10, 0), (1, 10), (2, 11)):
        vision = positions(range(2, 8)) if first == 0 else ()
        layers.state.begin(vision, torch.ones(1, first + width), width)
        at = torch.arange(first, first + width)[None]
        layers.run(states(1, width, first), position_ids=at)
        for layer, gone in [(2, 0), (3, 3), (4, 3), (5, 5), (6, 5)]:
            given = layers.calls[layer][1]
            cos = given["position_embeddings"][0][0, :, 0].tolist()
            held = width - (gone if first == 0 else 0)
            begin = 0 if layer == 2 or first == 0 else first - gone
            assert cos == list(range(begin, begin + held)), (first, layer)


# A drop at layer 0 ---------------------------------------------------------------------------


def test_the_cache_is_told_what_layer_0_leaves_out():
    layers = Layers("0:0.5", Chosen({0: {2, 4, 7}}))
    layers.state.begin(positions(range(2, 8)), torch.ones(1, 10), 10)
    layers.run(states(1, 10))
    assert layers.columns(0) == [0, 1, 2, 4, 7, 8, 9]
    assert layers.cache.get_seq_length() == 10
    assert layers.cache.layers[0].held_columns() == 7
    layers.state.begin((), torch.ones(1, 11), 1)
    layers.run(states(1, 1, 10))
    assert layers.attends(0) == layers.attends(6) == [[True] * 8]
    assert layers.cache.get_seq_length() == 11
    # A later turn is told in positions of the whole sequence, also by layer 0.
    layers.state.method.keeps[0] = {1}
    layers.state.begin(positions([0, 1]), torch.ones(1, 14), 3)
    layers.run(states(1, 3, 11))
    assert layers.state.trace.events[-1].kept == ((12,),)
    assert layers.cache.get_seq_length() == 14
    assert layers.cache.layers[0].held_columns() == 10


def test_a_drop_of_nothing_at_layer_0_tells_the_cache_nothing():
    layers = Layers("0:1.0,2:0.5", Chosen({2: {2, 4, 7}}))
    layers.state.begin(positions(range(2, 8)), torch.ones(1, 10), 10)
    layers.run(states(1, 10))
    assert not hasattr(layers.cache.layers[0], "held_columns")
    assert layers.cache.get_seq_length(0) == 10


def test_without_a_cache_there_is_nobody_to_tell():
    layers = Layers("0:0.5,3:1t", Chosen({0: {2, 4, 7}, 3: {4}}))
    layers.state.begin(positions(range(2, 8)), None, 10)
    layers.run(states(1, 10), past_key_values=None)
    assert layers.columns(6) == [0, 1, 4, 8, 9]
    assert layers.attends(6) == causal(5)
    assert [event.kept for event in layers.state.trace.events] == [((2, 4, 7),), ((4,),)]


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 10, 10), (10,)])
def test_a_mask_in_a_form_of_its_own_is_refused_once_it_would_be_shortened(shape):
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), torch.ones(shape), 10)
    assert layers.state.forward.foreign_mask
    layers.state.enter_layer(2, states(1, 10), {"past_key_values": None})
    with pytest.raises(InstrumentError, match="2-D attention mask") as caught:
        layers.state.enter_layer(3, states(1, 10), {"past_key_values": None})
    assert caught.value.hint


def test_a_cache_of_one_length_is_refused():
    class Static:
        is_compileable = True

        def get_seq_length(self, layer=0):
            return 0

    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), None, 10)
    with pytest.raises(InstrumentError, match="Static has one length"):
        layers.state.enter_layer(3, states(1, 10), {"past_key_values": Static()})


def test_an_argument_along_the_sequence_is_refused_at_a_drop():
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), None, 10)
    with pytest.raises(InstrumentError, match="no past_key_values"):
        layers.state.enter_layer(3, states(1, 10), {})


def test_a_cache_shortened_elsewhere_is_refused():
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), None, 10)
    layers.run(states(1, 10))
    other = Layers("3:0.5", Chosen(example_of()))
    other.cache = layers.cache
    other.state.begin((), torch.ones(1, 11), 1)
    with pytest.raises(InstrumentError, match="outside this"):
        other.run(states(1, 1, 10))


BLOCKS = torch.tensor([[-1, -1, 0, 0, 0, 0, 0, 0, -1, -1]])


def test_columns_of_one_block_attend_to_each_other_after_a_drop():
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin(positions(range(2, 8)), torch.ones(1, 10), 10, BLOCKS)
    layers.run(states(1, 10))
    wanted = causal(7)
    for row in (2, 3, 4):
        wanted[row][2:5] = [True] * 3
    assert layers.attends(3) == wanted


def test_blocks_of_new_columns_see_all_of_the_cache_before_them():
    layers = Layers("3:0.5", Chosen(example_of()))
    layers.state.begin((), torch.ones(1, 4), 4)
    layers.run(states(1, 4))
    layers.state.begin(positions(range(2, 8)), torch.ones(1, 14), 10, BLOCKS)
    layers.run(states(1, 10, 4))
    wanted = causal(7, past=4)
    for row in (2, 3, 4):
        wanted[row][4 + 2 : 4 + 5] = [True] * 3
    assert layers.attends(3) == wanted
