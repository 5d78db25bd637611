"""Patches merged inside the vision tower: what later blocks, the projector and the decoder get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.tiny_llava import PATCHES, batch, make_llava, row
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.tower_merging import Merged
from v2drop_cli.methods.base import EMBEDDINGS, TOWER, Kept, Method
from v2drop_cli.methods.mustdrop import MustDrop


@dataclass(frozen=True)
class FirstTwo(Method):
    """Merges the first two patches of brighter pictures into the second; remembers what it saw."""

    name = "first-two"
    paper = "a test"
    needs: ClassVar = frozenset({TOWER, EMBEDDINGS})
    tower_layers: ClassVar = (-1,)
    merges_patches: ClassVar = 1
    chooses_count: ClassVar = True
    least: float = float("-inf")
    seen: list = field(default_factory=list, compare=False)

    def merge_patches(self, states, sides):
        assert sides[0] * sides[1] == len(states)
        if states[0, 0] < self.least:
            return Kept(torch.arange(len(states)))
        sources = torch.full((len(states),), -1)
        sources[:2] = len(states) - 2
        merged = torch.cat([states[2:], states[:2].mean(0, keepdim=True)])
        return Kept(torch.tensor([*range(2, len(states)), 1]), merged, sources, in_order=True)

    def select(self, ctx):
        signals = ctx.signals
        if ctx.layer:
            return Kept(torch.arange(len(ctx.positions)))
        block = signals.tower(-1)
        left = block.left()
        self.seen.append((left, block, signals.embeddings()[ctx.positions]))
        if left.sources is None:
            return left
        return Kept(left.index, signals.hidden()[left.index], left.sources, in_order=True)


def by_hand(tower, pixels, least=float("-inf")):
    """Per picture, what leaves each block of a tower whose pictures go through it one by one."""
    found = []
    first = int(tower.config.model_type.startswith("clip"))
    for picture in pixels:
        states = tower.embeddings(picture[None])
        states = tower.pre_layrnorm(states) if first else states
        left = [states]
        for i, block in enumerate(tower.encoder.layers):
            if i == 1 and states[0, first, 0] >= least:
                before, patches = states[:, :first], states[:, first:]
                mean = patches[:, :2].mean(1, keepdim=True)
                states = torch.cat([before, patches[:, 2:], mean], dim=1)
            states = block(states, attention_mask=None)
            left.append(states)
        found.append(left)
    return found


@pytest.mark.parametrize("generating", [False, True])
def test_the_decoder_gets_the_features_of_what_was_left(generating):
    """In a tower without a class token, whose last norm makes the features."""
    case = CASES["paligemma"]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("image"))
    method = FirstTwo()
    with torch.no_grad():
        inner = model.model
        features = [
            inner.multi_modal_projector(inner.vision_tower.post_layernorm(left[-1]))[0]
            for left in by_hand(inner.vision_tower, inputs["pixel_values"])
        ]
        with v2drop.dropping(model, "1:1.0", method=method) as trace:
            if generating:
                model.generate(**inputs, max_new_tokens=2, do_sample=False)
            else:
                model(**inputs)
    [(left, _, embedded)] = method.seen
    scale = embedded[left.index[0]].norm() / features[0][0].norm()  # Gemma scales its inputs
    torch.testing.assert_close(embedded[left.index], torch.cat(features) * scale)
    n = len(vision[0])
    assert left.index.tolist() == [*range(2, n), 1]
    assert trace.events[0].kept[0] == tuple(vision[0][i] for i in [*range(2, n), 1])
    assert trace.events[0].sources[0] == ((),) * (n - 2) + ((vision[0][0],),)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_pictures_of_different_lengths_go_through_the_tower_as_alone(attention):
    model = make_llava(4, attn=attention, tower=4)
    inputs = batch([row(3, 2, 5, 0)])
    tower, pixels = model.model.vision_tower, inputs["pixel_values"]
    with torch.no_grad():
        entered = [left[1][0, 1, 0].item() for left in by_hand(tower, pixels)]
        least = sum(entered) / 2
        lefts = by_hand(tower, pixels, least)
        method = FirstTwo(least=least)
        with v2drop.dropping(model, "2:1.0", method=method) as trace:
            model(**inputs)
        [(left, block, embedded)] = method.seen
        features = [model.model.multi_modal_projector(states[-2][0, 1:]) for states in lefts]
        weights = []
        attended = tower.encoder.layers[-1].self_attn
        tower.set_attn_implementation("eager")
        handle = attended.register_forward_hook(lambda m, args, out: weights.append(out[1][0]))
        by_hand(tower, pixels, least)
        handle.remove()
    own = torch.cat([looked[:, 0, 1:] for looked in weights], dim=1)
    torch.testing.assert_close(block.class_attention()[:, left.index], own)
    gone = [i for i in range(2 * PATCHES) if i not in left.index.tolist()]
    assert len(gone) == 1
    assert not block.class_attention()[:, gone].any()
    torch.testing.assert_close(embedded[left.index], torch.cat(features))
    assert trace.events[0].after == (2 * PATCHES - 1,)


def test_what_is_left_of_some_of_a_row_s_tokens():
    # Two pictures of a class token and 4 patches; 1 and 2 of the first one became one, at the end.
    merged = Merged(
        index=torch.tensor([[0, 3, 4, 2, 0], [0, 1, 2, 3, 4]]),
        into=torch.tensor([[0, 3, 3, 1, 2], [0, 1, 2, 3, 4]]),
        lengths=(4, 5),
    )
    picture, place = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([1, 2, 3, 4, 1, 2])
    left = merged.left(picture, place)
    assert left.index.tolist() == [2, 3, 1, 4, 5]
    assert left.sources.tolist() == [2, 2, -1, -1, -1, -1]
    assert merged.valid.tolist() == [[True] * 4 + [False], [True] * 5]
    assert merged.stands.tolist()[0] == [True, False, True, True, True]
    assert merged.of(slice(1, 2)).left(picture[4:] - 1, place[4:]).sources is None


def test_what_went_into_a_token_that_is_not_there_went_into_none():
    """A row's last token is never dropped, so it is none of those that are asked about."""
    into = torch.tensor([[0, 3, 1, 2, 3, 3]])  # 1 and 4 went into 5
    merged = Merged(torch.tensor([[0, 2, 3, 5]]), into, (4,))
    left = merged.left(torch.zeros(4, dtype=torch.long), torch.tensor([1, 2, 3, 4]))
    assert left.index.tolist() == [1, 2]
    assert left.sources.tolist() == [-1, -1, -1, -1]


def test_all_that_the_tower_returns_is_of_full_length_and_what_came_before_is_untouched():
    """Of two pictures one merges, so the shortened states are as long as those before."""
    model, inputs = make_llava(4, tower=4), batch([row(3, 2, 5, 0)])
    tower, pixels = model.model.vision_tower, inputs["pixel_values"]
    with torch.no_grad():
        least = sum(left[1][0, 1, 0].item() for left in by_hand(tower, pixels)) / 2
        lefts = by_hand(tower, pixels, least)
        with v2drop.dropping(model, "2:1.0", method=FirstTwo(least=least)):
            states = tower(pixels, output_hidden_states=True).hidden_states
            model(**inputs)
    assert len(states) == 5
    assert {tuple(one.shape[:2]) for one in states} == {(2, 1 + PATCHES)}
    for picture, left in enumerate(lefts):
        torch.testing.assert_close(states[0][picture], left[0][0])
        torch.testing.assert_close(states[1][picture], left[1][0])
        if left[2].shape[1] == PATCHES:  # the mean of two is in both of their places
            assert torch.equal(states[2][picture, 1], states[2][picture, 2])
            torch.testing.assert_close(states[2][picture, 1], left[2][0, -1])


def test_patches_that_only_move_are_told_from_ones_that_do_not():
    into, picture, place = torch.tensor([[0, 2, 1]]), torch.tensor([0, 0]), torch.tensor([1, 2])
    moved = Merged(torch.tensor([[0, 2, 1]]), into, (3,)).left(picture, place)
    assert (moved.index.tolist(), moved.in_order) == ([1, 0], True)
    whole = Merged(torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, 2]]), (3,)).left(picture, place)
    assert (whole.index.tolist(), whole.in_order) == ([0, 1], False)


# What cannot be served --------------------------------------------------------------------------


def test_a_tower_without_a_class_token_is_refused_where_one_is_needed():
    model = CASES["paligemma"].make("sdpa")
    with pytest.raises(UnsupportedModelError, match="class token") as caught:
        v2drop.dropping(model, method="mustdrop").__enter__()
    assert caught.value.hint


def test_features_from_before_the_merged_blocks_are_refused():
    with pytest.raises(UnsupportedModelError, match="enters block 1") as caught:
        v2drop.dropping(make_llava(16, tower=2), method="mustdrop").__enter__()
    assert caught.value.hint


def test_tiles_are_refused():
    model = CASES["llava_next"].make("sdpa")
    with pytest.raises(UnsupportedModelError, match="cuts them up") as caught:
        v2drop.dropping(model, method=MustDrop()).__enter__()
    assert caught.value.hint


def test_blocks_before_the_merged_ones_cannot_be_looked_at():
    class Early(FirstTwo):
        tower_layers = (0,)

    class Late(FirstTwo):
        merges_patches = 4

    for method in (Early(), Late()):
        with pytest.raises(InstrumentError, match="block"):
            v2drop.dropping(make_llava(4, tower=4), "2:1.0", method=method).__enter__()


def test_patches_that_would_be_lost_are_refused():
    class Loses(FirstTwo):
        def merge_patches(self, states, sides):
            return Kept(torch.arange(1, len(states)))

    model = make_llava(4, tower=4)
    with (
        torch.no_grad(),
        v2drop.dropping(model, "2:1.0", method=Loses()),
        pytest.raises(InstrumentError, match="went into none") as caught,
    ):
        model(**batch([row(3, 1, 5, 0)]))
    assert caught.value.hint


def test_a_tower_that_masks_patches_is_refused():
    model = make_llava(4, tower=4)
    block = model.model.vision_tower.encoder.layers[1]
    masking = block.register_forward_pre_hook(
        lambda m, args, kwargs: (args[:1], {**kwargs, "attention_mask": torch.zeros(1)}),
        with_kwargs=True,
    )
    with (
        torch.no_grad(),
        v2drop.dropping(model, "2:1.0", method=FirstTwo()),
        pytest.raises(InstrumentError, match="masks"),
    ):
        model(**batch([row(3, 1, 5, 0)]))
    masking.remove()
