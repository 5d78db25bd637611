"""Prompts put together are the batch that each family's case makes by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES, NAMES
from v2drop_cli.bench.ragged import batch, kind
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.models.registry import get_family


def same(one, other):
    """Tensors, or lists of pictures in whatever form the model takes them."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def alone(case, prompt):
    """One prompt as a processor gives it."""
    tensors, vision = case.batch([prompt])
    index = (torch.tensor(vision[0], dtype=torch.long),)
    return Inputs(tensors, VisionTokens(index, ((),)), packed=get_family(case.family).packed)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_padded_and_joined_as_by_hand(name):
    case = CASES[name]
    # The same picture behind few words and behind many.
    prompts = [case.prompt(words, "i", 1) for words in (3, 11)]
    loaded = SimpleNamespace(family=get_family(case.family), processor=None)
    rows = [alone(case, prompt) for prompt in prompts]
    assert loaded.family.numbers_rows or not case.numbered
    if loaded.family.numbers_rows:
        assert kind(loaded, rows[0]) != kind(loaded, rows[1])
        return
    assert kind(loaded, rows[0]) == kind(loaded, rows[1])
    found = batch(loaded, rows)
    tensors, vision = case.batch(prompts)
    assert set(found.tensors) == set(tensors)
    for key, tensor in tensors.items():
        assert same(found.tensors[key], tensor), key
    assert [row.tolist() for row in found.vision.index] == vision


def test_one_prompt_is_left_as_it_is():
    case = CASES["llava"]
    row = alone(case, case.prompt(3, "i", 1))
    loaded = SimpleNamespace(family=get_family("llava"), processor=None)
    assert batch(loaded, [row]) is row
    assert kind(loaded, row) != kind(loaded, alone(case, case.prompt(9, "", 1)))
