"""FastV against its definition, computed by hand."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.by_hand import walk
from tests.methods.recorded import Recorded
from tests.tiny_llava import IMAGE, PATCHES, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape


def definition(stage):
    """The last row of the attention of the layer before, mean over heads."""
    attention = stage.decoder.attention(stage.layer - 1, stage.before, stage.positions)
    return stage.best(attention[:, -1, stage.vision].mean(0).tolist())


def traced(model, inputs, schedule, method="fastv"):
    with v2drop.dropping(model, schedule, method=method) as trace, torch.no_grad():
        model(**inputs)
    return {event.layer: list(event.kept) for event in trace.events}


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_keeps_what_the_last_token_of_every_row_attends_to(side):
    """One picture, two, none, and rows of different lengths."""
    model, inputs = make_llava(6), mixed_batch(side)
    wanted, _ = walk(model, inputs, {2: lambda n: min(n, 12)}, definition)
    assert traced(model, inputs, "2:12t") == wanted


def test_a_second_drop_looks_at_what_the_first_left():
    model, inputs = make_llava(6), mixed_batch()
    wanted, _ = walk(model, inputs, {2: lambda n: n // 2, 3: lambda n: n // 2}, definition)
    assert traced(model, inputs, "2:0.5,3:0.5") == wanted


@pytest.mark.parametrize("count", [0, 1, PATCHES - 1, PATCHES, PATCHES + 5])
def test_counts_from_none_to_more_than_there_are(count):
    model, inputs = make_llava(6), one_prompt()
    wanted, _ = walk(model, inputs, {2: lambda n: min(n, count)}, definition)
    assert traced(model, inputs, f"2:{count}t") == (wanted if count < PATCHES else {})


def test_a_prompt_that_ends_in_a_picture_is_read_by_the_picture_s_last_token():
    model, inputs = make_llava(6), batch([row(3, 1, 0, 0)[:-1]])
    assert inputs["input_ids"][0, -1] == IMAGE
    wanted, _ = walk(model, inputs, {2: lambda n: 9}, definition)
    assert traced(model, inputs, "2:9t") == wanted


def test_equal_tokens_go_to_the_earlier_one():
    rows = torch.tensor([[0.1, 0.2, 0.2, 0.2], [0.1, 0.2, 0.2, 0.2]])
    signals = Recorded(4, rows=rows)
    for count, kept in [(1, [1]), (2, [1, 2]), (3, [1, 2, 3])]:
        assert get_method("fastv").select(signals.context(count)).index.tolist() == kept


def test_its_own_schedule_is_half_of_the_tokens_once():
    method = get_method("fastv")
    assert str(method.schedule(None, Shape(32))) == "2:0.5"
    assert str(method.schedule(None, Shape(28))) == "2:0.5"
    assert str(method.schedule(None, Shape(12))) == "1:0.5"
    found = method.schedule(192, Shape(32, n_vision=576))
    assert [drop.layer for drop in found.drops] == [2]
    assert found.resolve(576, 32).layer_average == pytest.approx(192, abs=0.5)
    assert str(method.schedule(576, Shape(32, n_vision=576))) == "2:576t"


def test_there_is_no_layer_before_the_first():
    with (
        pytest.raises(ScheduleError, match="layer 0"),
        v2drop.dropping(make_llava(6), "0:0.5", method="fastv"),
    ):
        pass
