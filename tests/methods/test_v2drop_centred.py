"""``v2drop-centred`` against its definition in NumPy, rows of different lengths included."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.oracle import record_inputs
from tests.tiny_llava import IMAGE, make_llava, mixed_batch
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.registry import get_method


def defined(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The definition, one token at a time, in float64."""
    moved = [a.astype(np.float64) - b.astype(np.float64) for a, b in zip(now, before, strict=True)]
    shared = sum(moved) / len(moved)
    return np.array([np.sqrt(((one - shared) ** 2).sum()) for one in moved])


def best(scores: np.ndarray, k: int) -> list[int]:
    """The k highest, ties to the earlier token, in sequence order."""
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k])


def context(now: torch.Tensor, before: torch.Tensor, vision: torch.Tensor, k: int) -> DropContext:
    return DropContext(3, k, vision, 0, RowSignals(now, before, vision))


def drawn(columns: int, seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """States of all columns, whose update is mostly one that they share."""
    draw = torch.Generator().manual_seed(seed)
    before = torch.randn(columns, 16, generator=draw)
    shared = 5 * torch.randn(16, generator=draw)
    now = before + shared + torch.randn(columns, 16, generator=draw)
    return now.to(dtype), before.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 7, 19])
def test_scores_and_sets_are_those_of_the_definition(dtype, k):
    vision = torch.arange(4, 24)
    now, before = drawn(30, k, dtype)
    ctx = context(now, before, vision, k)
    exact = defined(now[4:24].float().numpy(), before[4:24].float().numpy())
    scores = get_method("v2drop-centred").score(ctx)
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), exact, rtol=1e-5)
    assert get_method("v2drop-centred").select(ctx).index.tolist() == best(exact, k)


def test_text_has_no_part_in_the_mean():
    vision = torch.arange(4, 24)
    now, before = drawn(30, 0, torch.float32)
    scores = get_method("v2drop-centred").score(context(now, before, vision, 5))
    louder = now.clone()
    louder[:4] += 100
    louder[24:] -= 100
    again = get_method("v2drop-centred").score(context(louder, before, vision, 5))
    assert torch.equal(scores, again)


def test_an_update_that_all_share_changes_no_rank():
    """The fault of the plain norm: the few that move otherwise, and less, are ranked last."""
    before = torch.zeros(8, 2)
    now = torch.tensor([[10.0, 0.0]]).repeat(8, 1)
    now[[2, 5]] = torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    ctx = context(now, before, torch.arange(8), 2)
    assert get_method("v2drop-centred").select(ctx).index.tolist() == [2, 5]
    assert get_method("v2drop").select(ctx).index.tolist() == [0, 1]


def test_ties_of_equal_tokens_go_to_the_earlier():
    now, before = drawn(4, 1, torch.float32)
    now, before = now.repeat(2, 1), before.repeat(2, 1)
    ctx = context(now, before, torch.arange(8), 2)
    first, second = get_method("v2drop-centred").select(ctx).index.tolist()
    assert second == first + 4
    ctx = context(now, before, torch.arange(8), 1)
    assert get_method("v2drop-centred").select(ctx).index.tolist() == [first]


def test_one_token_alone_does_not_differ_from_the_mean():
    now, before = drawn(1, 2, torch.float32)
    scores = get_method("v2drop-centred").score(context(now, before, torch.arange(1), 1))
    assert scores.tolist() == [0.0]


def test_states_are_left_as_they_are():
    now, before = drawn(6, 3, torch.float32)
    copies = now.clone(), before.clone()
    get_method("v2drop-centred").score(context(now, before, torch.arange(6), 2))
    assert torch.equal(now, copies[0])
    assert torch.equal(before, copies[1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_row_of_a_ragged_batch_has_its_own_mean(side):
    """Rows with one, two and no images, at three drops: sets as the masked model defines them."""
    model, inputs = make_llava(), mixed_batch(side)
    alive = [[i for i, t in enumerate(row) if t == IMAGE] for row in inputs["input_ids"].tolist()]
    dropped: dict[int, list[set[int]]] = {}
    kept = {}
    for layer, keep in ((3, 0.5), (17, 0.5), (22, 0.2)):
        states = record_inputs(model, inputs, inputs["attention_mask"], dropped)
        stays = []
        for row, tokens in enumerate(alive):
            now, before = (states[at][row][tokens].numpy() for at in (layer, layer - 1))
            ranks = best(defined(now, before), int(len(tokens) * keep)) if tokens else []
            stays.append([tokens[i] for i in ranks])
        pairs = zip(alive, stays, strict=True)
        dropped[layer] = [set(tokens) - set(left) for tokens, left in pairs]
        kept[layer] = alive = stays
    schedule = "3:0.5,17:0.5,22:0.2"
    with v2drop.dropping(model, schedule, method="v2drop-centred") as trace, torch.no_grad():
        model(**inputs)
    for event in trace.events:
        assert [list(row) for row in event.kept] == kept[event.layer]
