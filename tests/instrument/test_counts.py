"""Methods that choose how many tokens stay."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.methods.toys import Longer
from tests.oracle import masked, record_inputs
from tests.tiny_llava import IMAGE, PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.base import Kept, Method


@pytest.mark.parametrize("side", ["left", "right"])
def test_chosen_counts_differ_by_row_and_equal_the_masked_oracle(side):
    model, inputs = make_llava(12), mixed_batch(side)
    alive = [{i for i, t in enumerate(row) if t == IMAGE} for row in inputs["input_ids"].tolist()]
    dropped = {}
    for layer in (2, 5):
        entering = record_inputs(model, inputs, inputs["attention_mask"], dropped)[layer]
        stays = []
        for hidden, tokens in zip(entering, alive, strict=True):
            lengths = {i: hidden[i].norm().item() for i in tokens}
            mean = sum(lengths.values()) / max(1, len(lengths))
            stays.append({i for i in tokens if lengths[i] > mean})
        dropped[layer] = [before - after for before, after in zip(alive, stays, strict=True)]
        alive = stays
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(model, padding, dropped):
        wanted, tokens = decode(model, inputs, 4)
    with v2drop.dropping(model, "2:0.5,5:1.0", method=Longer()) as trace:
        got, _ = decode(model, inputs, 4, tokens)
    assert [set(row) for row in trace.events[1].kept] == alive
    assert len(set(trace.events[1].after)) == 4
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_it_is_asked_whatever_the_schedule_says_and_told_what_it_says():
    told = []

    class Told(Method):
        name, paper, chooses_count = "told", "none", True

        def select(self, ctx):
            told.append((ctx.layer, ctx.n_keep))
            return Kept(torch.arange(5))

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "2:0,3:1.0,4:2t", method=Told()) as trace, torch.no_grad():
        model(**inputs)
    assert told == [(2, 0), (3, 5), (4, 2)]
    assert [(event.before, event.after) for event in trace.events] == [
        ((PATCHES,), (5,)), ((5,), (5,)), ((5,), (5,)),
    ]  # fmt: skip


@pytest.mark.parametrize("chosen", [torch.arange(PATCHES + 1), torch.zeros(2).long(), None])
def test_a_choice_that_is_none_is_refused(chosen):
    class Odd(Method):
        name, paper, chooses_count = "odd", "none", True

        def select(self, ctx):
            return Kept(torch.ones(PATCHES, dtype=torch.bool) if chosen is None else chosen)

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "2:0.5", method=Odd()), pytest.raises(InstrumentError, match="Odd"):
        model(**inputs)


def test_more_than_the_schedule_says_takes_a_method_that_says_so():
    class More(Method):
        name, paper = "more", "none"

        def select(self, ctx):
            return Kept(torch.arange(ctx.n_keep + 1))

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "2:0.5", method=More()), pytest.raises(InstrumentError) as caught:
        model(**inputs)
    assert "chooses_count" in caught.value.hint
