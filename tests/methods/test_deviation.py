"""Deviation from the mean against plain NumPy."""

from __future__ import annotations

import numpy as np
import torch

import v2drop_cli as v2drop
from tests.methods.entering import Entering, best, drawn, rows_of
from tests.tiny_llava import make_llava, mixed_batch
from v2drop_cli.methods.deviation import Deviation
from v2drop_cli.methods.shape import Shape


def by_hand(states, k):
    mean = sum(states) / len(states)
    return best([float(np.sqrt(((row - mean) ** 2).sum())) for row in states], k)


def kept(states, k):
    return Deviation().select(Entering(states).context(k)).index.tolist()


def test_it_is_what_the_definition_says():
    for n, k in ((30, 1), (30, 11), (30, 29), (3, 1)):
        states = drawn(n)
        assert kept(states, k) == by_hand(states.double().numpy(), k)


def test_ties_and_duplicates_go_to_the_earlier_token():
    assert kept(torch.ones(5, 3), 2) == [0, 1]
    assert kept(torch.tensor([[0.0], [9.0], [0.0], [9.0]]), 3) == [0, 1, 2]


def test_float32_whatever_the_model():
    states = drawn(50, 32).to(torch.bfloat16)
    assert kept(states, 20) == by_hand(states.double().numpy(), 20)


def test_its_drop_is_before_the_decoder():
    assert str(Deviation().schedule(41.6, Shape(28, n_vision=576))) == "0:42t"
    assert str(Deviation().schedule(None, Shape(28, n_vision=577))) == "0:192t"
    [drop] = Deviation().schedule(None, Shape(28)).drops
    assert (drop.layer, drop.kept(577)) == (0, 192)


def test_rows_of_a_batch_have_means_of_their_own():
    model, inputs = make_llava(3), mixed_batch()
    with v2drop.dropping(model, "0:7t", method="deviation") as trace, torch.no_grad():
        model(**inputs)
    for found, (states, vision, _, _) in zip(
        trace.events[0].kept, rows_of(model, inputs), strict=True
    ):
        assert list(found) == [vision[i] for i in (by_hand(states[vision], 7) if vision else [])]
