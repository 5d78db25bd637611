"""DART against its definition, computed by hand: who is a pivot, who takes whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.by_hand import walk
from tests.methods.recorded import Recorded
from tests.tiny_llava import IMAGE, PATCHES, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def chosen(vision, after, lengths, states, count, pivots=(4, 4)):
    """Places that stay, in plain Python, of vision tokens at `vision` and text at `after`."""

    def longest(places, most):
        return sorted(sorted(places, key=lambda i: (-lengths[i], i))[:most])

    stay = longest(vision, min(pivots[0], count))
    asking = stay + longest(after, pivots[1])
    each, more = divmod(count - len(stay), len(asking))
    stay = list(stay)
    for turn, pivot in enumerate(asking):
        left = [i for i in vision if i not in stay]
        left.sort(key=lambda i: (cosine(states[i], states[pivot]), i))
        stay += left[: each + (turn < more)]
    return sorted(stay)


def definition(pivots=(4, 4)):
    def choose(stage):
        decoder = stage.decoder
        keys = decoder.keys(stage.layer - 1, stage.before, stage.positions)
        lengths = np.abs(keys).sum((0, 2)).tolist()
        states = decoder.norm(stage.states, decoder.final).tolist()
        return chosen(stage.vision, stage.after, lengths, states, stage.count, pivots)

    return choose


def llava(layers):
    """With a last norm that turns its input: one whose weights are all alike keeps each cosine."""
    model = make_llava(layers)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.model.language_model.norm.weight.copy_(torch.rand(32, generator=draw) + 0.1)
    return model


def traced(model, inputs, schedule, method="dart"):
    """With positions as `generate` counts them, without padding: key lengths depend on them."""
    positions = (inputs["attention_mask"].cumsum(1) - 1).clamp_min(0)
    with v2drop.dropping(model, schedule, method=method) as trace, torch.no_grad():
        model(**inputs, position_ids=positions)
    return {event.layer: list(event.kept) for event in trace.events}


@pytest.mark.parametrize("side", ["left", "right"])
def test_pivots_take_what_is_least_like_them(side):
    """One picture, two, none; with one, five and three tokens of text after the last picture."""
    model, inputs = llava(6), mixed_batch(side)
    wanted, _ = walk(model, inputs, {2: lambda n: min(n, 20)}, definition())
    assert traced(model, inputs, "2:20t") == wanted


@pytest.mark.parametrize("pivots", [(1, 0), (2, 5), (10, 5), (4, 1)])
def test_other_numbers_of_pivots(pivots):
    model, inputs = llava(6), one_prompt(images=2)
    wanted, _ = walk(model, inputs, {3: lambda n: 21}, definition(pivots))
    method = f"dart:image_pivots={pivots[0]},text_pivots={pivots[1]}"
    assert traced(model, inputs, "3:21t", method) == wanted


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11, 12, 13, PATCHES - 1, PATCHES, PATCHES + 5])
def test_counts_from_none_over_fewer_than_pivots_to_more_than_there_are(count):
    model, inputs = llava(4), one_prompt()
    wanted, _ = walk(
        model, inputs, {2: lambda n: min(n, count)}, definition() if count else lambda stage: []
    )
    assert traced(model, inputs, f"2:{count}t") == (wanted if count < PATCHES else {})


def test_a_second_drop_looks_at_what_the_first_left():
    model, inputs = llava(6), mixed_batch()
    halves = {2: lambda n: n // 2, 3: lambda n: n // 2}
    wanted, _ = walk(model, inputs, halves, definition())
    assert traced(model, inputs, "2:0.5,3:0.5") == wanted


@pytest.mark.parametrize("after", [0, 1, 2])
def test_little_or_no_text_after_the_picture_means_fewer_pivots(after):
    """Where there is none, the row's last token counts as text."""
    ids = row(5, 1, 0, 0)[:-1] + [9] * after
    model, inputs = llava(4), batch([ids])
    assert (inputs["input_ids"][0, -1] == IMAGE) == (after == 0)
    wanted, _ = walk(model, inputs, {2: lambda n: 15}, definition())
    assert traced(model, inputs, "2:15t") == wanted


def made_up(vision, text, seed=0, size=3):
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(vision + text, size, generator=draw)
    return Recorded(vision, text, states=states, lengths=torch.rand(vision + text, generator=draw))


def compare(signals, count, pivots=(4, 4)):
    vision = list(range(signals.vision))
    after = signals.text().tolist()
    method = get_method(f"dart:image_pivots={pivots[0]},text_pivots={pivots[1]}")
    got = method.select(signals.context(count)).index.tolist()
    args = signals.lengths.tolist(), signals.states.double().tolist()
    assert got == chosen(vision, after, *args, count, pivots)
    return got


def test_equal_keys_and_equal_states_go_to_the_earlier_token():
    signals = made_up(12, 6)
    signals.lengths[:] = 1.0
    signals.states[:] = torch.tensor([1.0, 2.0, 3.0])
    assert compare(signals, 9) == list(range(9))


def test_duplicated_tokens_are_taken_in_order():
    for seed in range(5):
        signals = made_up(24, 6, seed)
        signals.states[12:24] = signals.states[:12]
        for count in (5, 9, 13, 20):
            compare(signals, count)


def test_everything_is_computed_in_float32_whatever_the_model():
    for seed in range(5):
        signals = made_up(60, 6, seed, size=24)
        signals.states = signals.states.bfloat16()
        signals.lengths = (signals.lengths + 100).bfloat16()  # many ties
        compare(signals, 20)


def test_states_of_zeros_are_like_nothing():
    signals = made_up(12, 6)
    signals.states[3:6] = 0
    compare(signals, 7)
    signals.states[:] = 0
    compare(signals, 7)


def test_two_tokens_and_no_text_at_all():
    signals = made_up(2, 0)
    assert compare(signals, 1) == [int(signals.lengths.argmax())]


def test_the_count_is_what_the_schedule_says():
    signals = made_up(600, 20)
    for count in (196, 132, 68, 197):
        assert len(set(compare(signals, count))) == count


@pytest.mark.parametrize("text", ["image_pivots=0", "image_pivots=-1", "text_pivots=-1"])
def test_numbers_that_leave_nobody_to_choose_are_refused(text):
    with pytest.raises(UsageError, match="too few"):
        get_method(f"dart:{text}")


def test_its_own_schedule_keeps_196_of_576_once():
    method = get_method("dart")
    own = method.schedule(None, Shape(32))
    assert str(own) == "2:0.341"
    plan = own.resolve(576, 32)
    assert (plan.counts[2], plan.layer_average) == (196, 219.75)
    found = method.schedule(192, Shape(32, n_vision=576))
    assert [drop.layer for drop in found.drops] == [2]
    assert found.resolve(576, 32).layer_average == pytest.approx(192, abs=0.5)
