"""PyramidDrop against its definition, computed by hand: stage after stage."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.by_hand import walk
from tests.methods.recorded import Recorded
from tests.tiny_llava import PATCHES, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape

STAGES = {2: 0.5, 4: 0.5, 5: 0.5}
SCHEDULE = "2:0.5,4:0.5,5:0.5"


def definition(stage):
    """The last row of this layer's own attention, mean over heads."""
    attention = stage.decoder.attention(stage.layer, stage.states, stage.positions)
    return stage.best(attention[:, -1, stage.vision].mean(0).tolist())


def by_hand(model, inputs, renumbered, stages=STAGES):
    counts = {layer: lambda n, keep=keep: int(n * keep) for layer, keep in stages.items()}
    return walk(model, inputs, counts, definition, renumbered)


def traced(model, inputs, method, schedule=SCHEDULE):
    with v2drop.dropping(model, schedule, method=method) as trace, torch.no_grad():
        logits = model(**inputs).logits
    return {event.layer: list(event.kept) for event in trace.events}, logits


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("positions", ["original", "renumbered"])
def test_every_stage_keeps_what_the_last_token_attends_to(side, positions):
    """One picture, two, none, and rows of different lengths; and what the survivors become."""
    model, inputs = make_llava(6), mixed_batch(side)
    wanted, ends = by_hand(model, inputs, positions == "renumbered")
    kept, logits = traced(model, inputs, f"pyramiddrop:positions={positions}")
    assert kept == wanted
    for b, end in enumerate(ends):
        last = inputs["attention_mask"][b].nonzero()[-1, 0]
        states = model.model.language_model.norm(torch.tensor(end[-1]).float())
        torch.testing.assert_close(logits[b, last], model.lm_head(states), atol=1e-4, rtol=1e-4)


def test_survivors_are_renumbered_unless_original_positions_are_asked_for():
    model, inputs = make_llava(6), mixed_batch()
    default, _ = traced(model, inputs, "pyramiddrop")
    assert default == traced(model, inputs, "pyramiddrop:positions=renumbered")[0]
    assert default != traced(model, inputs, "pyramiddrop:positions=original")[0]


@pytest.mark.parametrize("count", [0, 1, PATCHES, PATCHES + 5])
def test_counts_from_none_to_more_than_there_are(count):
    model, inputs = make_llava(6), one_prompt()
    wanted, _ = walk(model, inputs, {3: lambda n: min(n, count)}, definition)
    kept, _ = traced(model, inputs, "pyramiddrop", f"3:{count}t")
    assert kept == (wanted if count < PATCHES else {})


def test_a_prompt_that_ends_in_a_picture_is_read_by_the_picture_s_last_token():
    model, inputs = make_llava(6), batch([row(3, 1, 0, 0)[:-1]])
    assert traced(model, inputs, "pyramiddrop")[0] == by_hand(model, inputs, True)[0]


def test_it_can_drop_the_decoder_s_input_too():
    model, inputs = make_llava(6), mixed_batch()
    wanted, _ = by_hand(model, inputs, True, {0: 0.5})
    assert traced(model, inputs, "pyramiddrop", "0:0.5")[0] == wanted


def test_equal_tokens_go_to_the_earlier_one():
    signals = Recorded(4, rows=torch.tensor([[0.3, 0.1, 0.3, 0.3]]))
    for count, kept in [(1, [0]), (2, [0, 2])]:
        assert get_method("pyramiddrop").select(signals.context(count)).index.tolist() == kept


@pytest.mark.parametrize("n", [576, 575, 100, 37, 7, 1])
def test_halves_of_what_is_alive_are_the_published_shares_of_the_whole(n):
    schedule = get_method("pyramiddrop").schedule(None, Shape(32))
    assert [drop.layer for drop in schedule.drops] == [8, 16, 24]
    assert schedule.resolve(n, 32).counts[8::8] == (int(n * 0.5), int(n * 0.25), int(n * 0.125))


def test_its_own_layers_follow_the_depth_and_a_budget_changes_counts():
    method = get_method("pyramiddrop")
    layers = [drop.layer for drop in method.schedule(None, Shape(28)).drops]
    assert layers == [7, 14, 21]
    assert method.schedule(None, Shape(32)).resolve(576, 32).layer_average == 270
    found = method.schedule(192, Shape(32, n_vision=576))
    assert [drop.layer for drop in found.drops] == [8, 16, 24]
    assert found.resolve(576, 32).layer_average == pytest.approx(192, abs=0.5)
