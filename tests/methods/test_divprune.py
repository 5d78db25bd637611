"""DivPrune against its definition in plain NumPy and float64."""

from __future__ import annotations

import itertools

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.entering import Entering, drawn, rows_of, unit
from tests.tiny_llava import make_llava, mixed_batch
from v2drop_cli.methods.divprune import DivPrune
from v2drop_cli.methods.shape import Shape


def by_hand(states, k):
    distance = 1 - unit(states) @ unit(states).T
    others = range(len(states))
    nearest = [min(distance[i][j] for j in others if j != i) for i in others]
    chosen = [nearest.index(max(nearest))]
    while len(chosen) < k:
        reach = {i: min(distance[i][j] for j in chosen) for i in others if i not in chosen}
        chosen.append(max(reach, key=lambda i: (reach[i], -i)))
    return sorted(chosen)


def kept(states, k):
    return DivPrune().select(Entering(states).context(k)).index.tolist()


@pytest.mark.parametrize(("n", "k"), [(40, 1), (40, 2), (40, 13), (40, 39), (2, 1), (3, 2)])
def test_it_is_what_the_definition_says(n, k):
    for seed in range(3):
        states = drawn(n, seed=seed)
        assert kept(states, k) == by_hand(states.double().numpy(), k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_distances_are_float32_whatever_the_model(dtype):
    states = drawn(60, 64).to(dtype)
    assert kept(states, 20) == by_hand(states.double().numpy(), 20)


def test_the_set_is_the_best_of_its_kind_where_all_can_be_tried():
    # Two tight clusters and an outlier: any best spread set of three takes one of each.
    states = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.01, 1.0], [-1.0, -1.0]])
    distance = 1 - unit(states.numpy()) @ unit(states.numpy()).T
    spread = {
        trio: min(distance[i][j] for i, j in itertools.combinations(trio, 2))
        for trio in itertools.combinations(range(5), 3)
    }
    found = tuple(kept(states, 3))
    assert spread[found] == pytest.approx(max(spread.values()), abs=0.02)
    assert 4 in found


def test_duplicates_are_chosen_once_each_and_ties_go_to_the_earlier_token():
    axes = torch.eye(4)
    states = axes[[0, 0, 1, 1, 2, 3, 3]]
    assert kept(states, 4) == [0, 2, 4, 5]
    for k in range(1, 8):
        assert len(set(kept(states, k))) == k


def test_all_tokens_equal():
    assert kept(torch.ones(5, 3), 2) == [0, 1]


def test_a_token_of_zeros_is_no_error():
    states = drawn(6)
    states[2] = 0
    assert len(set(kept(states, 3))) == 3


@pytest.mark.parametrize("n", [576, 2880, 197, 36])
def test_the_published_count_is_rounded(n):
    [drop] = DivPrune().schedule(None, Shape(28, n_vision=n)).drops
    assert (drop.layer, drop.kept(n)) == (0, round(0.098 * n))
    [unknown] = DivPrune().schedule(None, Shape(28)).drops
    assert unknown.kept(n) == int(0.098 * n)
    assert str(DivPrune().schedule(64.4, Shape(28, n_vision=n))) == "0:64t"


def test_pictures_of_a_row_compete_and_rows_do_not():
    model, inputs = make_llava(3), mixed_batch()
    with v2drop.dropping(model, "0:9t", method="divprune") as trace, torch.no_grad():
        model(**inputs)
    for found, (states, vision, _, _) in zip(
        trace.events[0].kept, rows_of(model, inputs), strict=True
    ):
        places = by_hand(states[vision], 9) if vision else []
        assert list(found) == [vision[i] for i in places]
    assert len(trace.events[0].kept[1]) == 9  # two pictures


def test_a_budget_of_all_or_none_asks_nothing():
    model, inputs = make_llava(3), mixed_batch()
    for schedule in ("0:999t", "0:0t"):
        with v2drop.dropping(model, schedule, method="divprune") as trace, torch.no_grad():
            output = model(**inputs)
        assert [event.after for event in trace.events] == ([] if "9" in schedule else [(0,) * 4])
        assert torch.isfinite(output.logits).all()
