"""MustDrop against its definition, run by hand from the pixels to the logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.shown import run_by_hand
from tests.tiny_llava import IMAGE, PATCHES, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.mustdrop import MustDrop
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape

SIDE = 6  # patches of a picture's side in these models
TOWER = 4

# The definition -----------------------------------------------------------------------------


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def windows(side=SIDE):
    """The patches of each whole window of 3 x 3."""
    whole = side // 3 * 3
    corners = [(r, c) for r in range(0, whole, 3) for c in range(0, whole, 3)]
    return [[(r + i) * side + c + j for i in range(3) for j in range(3)] for r, c in corners]


def similarity(states, window):
    pairs = [(i, j) for i in window for j in window if i != j]
    return sum(cosine(states[i], states[j]) for i, j in pairs) / len(pairs)


def merge(states, threshold, side=SIDE):
    """What is left of one picture: the patch that each token stands for, its sources, its state."""
    similar = [(similarity(states, window), window) for window in windows(side)]
    chosen = [pair for pair in similar if pair[0] >= threshold]
    chosen.sort(key=lambda pair: -pair[0])
    gone = {patch for _, window in chosen for patch in window}
    left = [(window[4], window, states[window].mean(0)) for _, window in chosen]
    return left + [(i, [i], states[i]) for i in range(len(states)) if i not in gone]


@torch.no_grad()
def tower_by_hand(model, pixels, threshold):
    """One picture: what is left of it, its projected features, and its key set's order."""
    tower, weights = model.model.vision_tower, []
    states = tower.pre_layrnorm(tower.embeddings(pixels[None]))
    blocks = tower.encoder.layers
    handle = blocks[-1].self_attn.register_forward_hook(lambda m, args, o: weights.append(o[1][0]))
    states = blocks[0](states, attention_mask=None)
    left = merge(states[0, 1:].double().numpy(), threshold)
    short = torch.tensor(np.array([state for _, _, state in left])).float()
    states = torch.cat([states[0, :1], short])[None]
    for block in blocks[1:]:
        entered, states = states, block(states, attention_mask=None)
    handle.remove()
    features = model.model.multi_modal_projector(entered[0, 1:])
    return left, features, weights[0].double().numpy().mean(0)[0, 1:]


def prompt_by_hand(model, inputs, threshold, key=0.08):
    """One prompt of one picture: its decoder's short input, places in the prompt, its key set."""
    left, features, looked = tower_by_hand(model, inputs["pixel_values"][0], threshold)
    ids = inputs["input_ids"][0]
    first = ids.tolist().index(IMAGE)
    words = model.get_input_embeddings()(ids)
    states = torch.cat([words[:first], features, words[first + PATCHES :]]).detach()
    patches = [patch for patch, _, _ in left]
    places = [*range(first), *(first + p for p in patches), *range(first + PATCHES, len(ids))]
    size = math.ceil(key * len(left))
    best = sorted(range(len(left)), key=lambda i: (-looked[i], i))[:size]
    return states, places, {first + patches[i] for i in best}, left, first


def thresholds_by_hand(first, alive, keys, g, q, trace):
    def drop(layer):
        def change(now, attention, places):
            nonlocal alive
            a = attention.double().numpy().mean(0)[first + alive :, first : first + alive]
            total = a.sum(0)
            own = [
                first + j
                for j in range(alive)
                if not (total[j] < g * total.sum() and a[:, j].max() < q)
                or places[first + j] in keys
            ]
            trace[layer] = [places[i] for i in own]
            left = torch.cat([now[:first], now[own], now[first + alive :]])
            places = places[:first] + trace[layer] + places[first + alive :]
            alive = len(own)
            return left, places

        return change

    return drop


# In a model ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eager():
    return make_llava(16, attn="eager", tower=TOWER)


def kept_by(trace):
    return {event.layer: list(event.kept[0]) for event in trace.events}


@pytest.mark.parametrize("threshold", [-1, "some", 2])
@pytest.mark.parametrize("dropping", [False, True])
@pytest.mark.parametrize("positions", ["renumbered", "original"])
def test_a_prompt_is_the_definition_by_hand(eager, threshold, dropping, positions):
    inputs = one_prompt()
    if threshold == "some":
        threshold = middle_of(eager, inputs["pixel_values"][0])
    states, places, keys, left, first = prompt_by_hand(eager, inputs, threshold)
    # A token's fair share of what all words look at.
    g, q = (1 / len(left), 3 / len(left)) if dropping else (0.0, 0.0)
    wanted, alive = {}, places[first : first + len(left)]
    drop = thresholds_by_hand(first, len(left), keys, g, q, wanted)
    # Places of the prompt go along even before the first drop.
    drops = {0: lambda now, attention, at: (now, places)}
    drops |= {layer: drop(layer) for layer in (3, 7, 11, 15)}
    logits = run_by_hand(eager, states, drops, anew=positions == "renumbered")
    method = MustDrop(g=g, q=q, window=threshold, positions=positions)
    with v2drop.dropping(eager, method=method) as trace, torch.no_grad():
        found = eager(**inputs).logits[0]
    torch.testing.assert_close(found[-5:], logits[-5:], rtol=1e-4, atol=1e-4)
    events = {0: alive} if len(alive) < PATCHES else {}
    # Every stage in the decoder is told, also one that drops nothing.
    assert {event.layer: list(event.kept[0]) for event in trace.events} == events | wanted
    assert set(wanted) == {3, 7, 11, 15}
    assert (len(wanted[15]) < len(left)) == dropping
    merged = [tuple(first + p for p in group if p != slot) for slot, group, _ in left]
    if any(merged):
        assert list(trace.events[0].sources[0]) == merged


def test_each_of_two_pictures_merges_for_itself(eager):
    """Text between them stays there; the key set is of both."""
    inputs = batch([row(3, 2, 5, 0)])
    ids, words = inputs["input_ids"][0], eager.get_input_embeddings()(inputs["input_ids"][0])
    threshold = middle_of(eager, inputs["pixel_values"][0])
    first = ids.tolist().index(IMAGE)
    second = first + PATCHES + 1
    parts, places, looked, patches = [words[:first]], list(range(first)), [], []
    for start, end, pixels in [
        (first, second, inputs["pixel_values"][0]),
        (second, len(ids), inputs["pixel_values"][1]),
    ]:
        left, features, weights = tower_by_hand(eager, pixels, threshold)
        parts += [features, words[start + PATCHES : end]]
        own = [start + patch for patch, _, _ in left]
        places += [*own, *range(start + PATCHES, end)]
        patches += own
        looked += list(weights)
    size = math.ceil(0.08 * len(patches))
    best = sorted(range(len(patches)), key=lambda i: (-looked[i], i))[:size]
    states = torch.cat(parts).detach()
    logits = run_by_hand(eager, states, {0: lambda now, attention, at: (now, places)})
    with torch.no_grad():
        with v2drop.dropping(eager, method=MustDrop(g=0, window=threshold)) as trace:
            found = eager(**inputs).logits[0]
        torch.testing.assert_close(found[-5:], logits[-5:], rtol=1e-4, atol=1e-4)
        assert list(trace.events[0].kept[0]) == patches
        with v2drop.dropping(eager, method=MustDrop(g=9, q=9, window=threshold)) as trace:
            eager(**inputs)
    # Where all are below the thresholds, the key set is what stays.
    assert set(trace.events[1].kept[0]) == {patches[i] for i in best}


def middle_of(model, pixels):
    """A threshold that about half of a picture's windows reach."""
    tower = model.model.vision_tower
    with torch.no_grad():
        states = tower.pre_layrnorm(tower.embeddings(pixels[None]))
        states = tower.encoder.layers[0](states, attention_mask=None)[0, 1:].double().numpy()
    found = sorted(similarity(states, window) for window in windows())
    return (found[1] + found[2]) / 2


def test_pictures_that_merge_differently_are_dropped_as_alone(eager):
    """Also in generate, where the tower runs before the model; the second row has two pictures."""
    model = make_llava(16, tower=TOWER)
    inputs = mixed_batch()
    method = MustDrop(g=0.03, q=0.05, window=middle_of(eager, inputs["pixel_values"][0]))
    with torch.no_grad(), v2drop.dropping(model, method=method) as trace:
        logits = model(**inputs).logits
        whole = list(trace.events)
        trace.clear()
        out = model.generate(**inputs, max_new_tokens=3, do_sample=False)
        assert [event.kept for event in trace.events[: len(whole)]] == [e.kept for e in whole]
    assert len(set(whole[0].after)) > 2  # pictures of different lengths
    start = 0
    for b, ids in enumerate(inputs["input_ids"]):
        real = inputs["attention_mask"][b].bool()
        images = int((ids == IMAGE).sum()) // PATCHES
        alone = {"input_ids": ids[real][None], "attention_mask": real[real].long()[None]}
        if images:
            alone["pixel_values"] = inputs["pixel_values"][start : start + images]
        start += images
        shift = int((~real).sum())
        with v2drop.dropping(model, method=method) as trace, torch.no_grad():
            one = model(**alone).logits
            tokens = model.generate(**alone, max_new_tokens=3, do_sample=False)
        torch.testing.assert_close(logits[b, -1], one[0, -1], rtol=1e-4, atol=1e-4)
        assert tokens[0, -3:].tolist() == out[b, -3:].tolist()
        kept = {event.layer: [p + shift for p in event.kept[0]] for event in trace.events[:5]}
        for event in whole:
            if images and event.layer in kept:
                assert list(event.kept[b]) == kept[event.layer]


def test_a_schedule_without_layer_0_still_drops_what_was_merged(eager):
    inputs = one_prompt()
    method = MustDrop(g=0, window=-1)
    with v2drop.dropping(eager, "3:1.0", method=method) as trace, torch.no_grad():
        eager(**inputs)
    assert [(event.layer, event.after) for event in trace.events] == [(0, (4,)), (3, (4,))]


def test_a_prompt_that_ends_in_its_picture_keeps_the_last_token(eager):
    inputs = batch([row(3, 1, 0, 0)[:-1]])
    with v2drop.dropping(eager, method=MustDrop(window=-1)) as trace, torch.no_grad():
        logits = eager(**inputs).logits
    assert trace.events[0].after == (4,)
    assert logits[0, -1].isfinite().all()
    assert logits[0, -1].any()


def test_the_tower_is_as_it_was_afterwards(eager):
    inputs = one_prompt()
    with torch.no_grad():
        before = eager(**inputs).logits
        with v2drop.dropping(eager, method=MustDrop(window=-1)):
            eager(**inputs)
        torch.testing.assert_close(eager(**inputs).logits, before, rtol=0, atol=0)
    assert not any(block._forward_pre_hooks for block in eager.model.vision_tower.encoder.layers)


# Its parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 2.0])
def test_windows_merge_as_defined(side, threshold):
    states = torch.randn(side * side, 4, generator=torch.Generator().manual_seed(side))
    kept = MustDrop(window=threshold).merge_patches(states, (side, side))
    left = merge(states.double().numpy(), threshold, side)
    assert kept.index.tolist() == [patch for patch, _, _ in left]
    torch.testing.assert_close(
        kept.merged, torch.tensor(np.array([state for _, _, state in left])).float()
    )
    into = {i: n for n, (_, group, _) in enumerate(left) if len(group) > 1 for i in group}
    assert kept.sources.tolist() == [into.get(i, -1) for i in range(side * side)]


def test_equal_windows_merge_in_raster_order():
    kept = MustDrop().merge_patches(torch.ones(36, 4), (6, 6))
    assert kept.index.tolist() == [7, 10, 25, 28]


def test_its_own_layers():
    layers = [drop.layer for drop in get_method("mustdrop").schedule(None, Shape(32)).drops]
    assert layers == [0, 3, 7, 11, 15]
    small = get_method("mustdrop").schedule(None, Shape(8))
    assert [drop.layer for drop in small.drops] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wrong", ["g=-1", "q=-0.1", "key=1.5"])
def test_parameters_that_mean_nothing(wrong):
    with pytest.raises(UsageError, match=wrong.split("=")[0]):
        get_method(f"mustdrop:{wrong}")
