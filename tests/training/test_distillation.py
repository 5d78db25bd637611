"""Fitting: the loss by hand, the order of examples, and that it helps."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

import v2drop_cli as v2drop
from v2drop_cli.training.distillation import (
    Plan,
    continued,
    distil,
    divergence,
    frozen,
    order,
    price,
    start,
)
from v2drop_cli.training.examples import Example


def test_the_divergence_is_the_definitions():
    dense = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    compressed = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    p = [math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)]
    q = [1 / (1 + math.e), math.e / (1 + math.e)]
    first = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert divergence(dense, compressed).item() == pytest.approx(first / 2, rel=1e-5)
    assert divergence(dense, dense).item() == 0


def test_the_price_is_entropy_and_the_largest_column():
    mixture = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert price(mixture).item() == pytest.approx(math.log(2) / 2 + 1.5)


def test_shares_that_round_to_nothing_have_a_finite_slope():
    products = torch.tensor([[0.0, -200.0]], requires_grad=True)
    price(products.softmax(dim=1)).backward()
    assert products.grad.isfinite().all()


def test_each_time_round_all_examples_come_once_in_another_order():
    examples = list(range(20))
    rounds = [[order(examples, 0, step) for step in range(20 * n, 20 * n + 20)] for n in (0, 1)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == examples
    assert rounds[0] != rounds[1]
    assert order(examples, 0, 7) == order(examples, 0, 7)
    assert [order(examples, 1, step) for step in range(20)] != rounds[0]


def test_an_answer_is_put_behind_the_prompt():
    tensors = {
        "input_ids": torch.tensor([[5, 6]]),
        "attention_mask": torch.ones(1, 2, dtype=torch.long),
        "token_type_ids": torch.ones(1, 2, dtype=torch.long),
        "pixel_values": torch.zeros(1, 3),
    }
    longer = continued(tensors, torch.tensor([[7, 8, 9]]))
    assert longer["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert longer["attention_mask"].tolist() == [[1] * 5]
    assert longer["token_type_ids"].tolist() == [[1, 1, 0, 0, 0]]
    assert longer["pixel_values"] is tensors["pixel_values"]


@pytest.fixture(scope="module")
def loaded():
    return v2drop.load("tiny", device="cpu")


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64), "navy").save(path)
    return [Example(path, "what is the color of the shape?")]


def run(loaded, examples, plan, progress=None):
    losses = []
    for now, loss in distil(loaded, examples, plan, progress or start(loaded, plan)):
        losses.append(loss)
        progress = now
    return progress, losses


def test_a_few_steps_make_the_loss_smaller_and_leave_the_model_alone(loaded, examples):
    before = {name: w.clone() for name, w in loaded.model.named_parameters()}
    wanted = [w.requires_grad for w in loaded.model.parameters()]
    plan = Plan(keep=0.05, steps=6, channels=8, rate=3e-3, answer_tokens=2)
    progress, losses = run(loaded, examples, plan)
    assert losses[-1] < losses[0]
    assert progress.step == 6
    assert [w.requires_grad for w in loaded.model.parameters()] == wanted
    assert all(torch.equal(w, before[name]) for name, w in loaded.model.named_parameters())
    assert all(w.grad is None for w in loaded.model.parameters())


def test_a_fit_in_two_parts_is_the_same(loaded, examples):
    plan = Plan(keep=0.05, steps=4, channels=8, answer_tokens=2)
    whole, _ = run(loaded, examples, plan)
    first, _ = run(loaded, examples, Plan(keep=0.05, steps=2, channels=8, answer_tokens=2))
    second, losses = run(loaded, examples, plan, first)
    assert len(losses) == 2
    for name, weight in whole.weights.items():
        torch.testing.assert_close(second.weights[name], weight)


def test_a_model_is_thawed_after_an_error():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)

    def broken():
        with frozen(model):
            assert not model.weight.requires_grad
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert model.weight.requires_grad
    assert not model.bias.requires_grad
