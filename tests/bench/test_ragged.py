"""Prompts put together are the batch that each family's case makes by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES, NAMES
from tests.families.loaded import inputs_of
from v2drop_cli.bench.ragged import batch, kind
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.models.registry import get_family
from v2drop_cli.records import CaveatKind, Grid


def same(one, other):
    """Tensors, or lists of pictures in whatever form the model takes them."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def shown(words, pixels=(1, 3, 4, 4), packed=(), **more):
    """A prompt of that many words, the last three of them vision tokens."""
    tensors = {"input_ids": torch.arange(10, 10 + words)[None], "pixel_values": torch.zeros(pixels)}
    vision = VisionTokens((torch.arange(words - 3, words),), ((Grid(1, 1, 3),),))
    return Inputs({**tensors, **more}, vision, packed=packed)


def loaded(pad=None, end=None, numbers_rows=False):
    tokenizer = SimpleNamespace(pad_token_id=pad, eos_token_id=end)
    return SimpleNamespace(
        family=SimpleNamespace(numbers_rows=numbers_rows),
        processor=SimpleNamespace(tokenizer=tokenizer),
    )


def alike(one, other):
    return kind(loaded(), one) == kind(loaded(), other)


def test_prompts_are_of_one_kind_where_their_pixels_are():
    """However many words there are, and however many pictures."""
    types = torch.ones(1, 7, dtype=torch.long)
    assert alike(shown(5), shown(7, pixels=(2, 3, 4, 4)))
    assert alike(shown(7, types=types), shown(5, types=types[:, :5]))
    assert not alike(shown(5), shown(5, pixels=(1, 3, 4, 5)))
    assert not alike(shown(5), shown(5, pixels=(1, 4, 4, 4)))
    assert not alike(shown(5), shown(5, sizes=torch.zeros(1, 2)))
    assert not alike(shown(5, sizes=torch.zeros(1, 2)), shown(5, sizes=torch.zeros(1, 2).long()))
    # What has a row for each picture, and as many columns as there are tokens, goes with pictures.
    assert not alike(shown(5, wide=torch.zeros(2, 5)), shown(7, wide=torch.zeros(2, 7)))


def test_lists_of_pictures_may_be_of_any_sizes():
    one, other = [torch.zeros(3, 4, 4)], [torch.zeros(3, 8, 4)] * 2
    assert alike(shown(5, tiles=one), shown(7, tiles=other))
    assert not alike(shown(5, tiles=one), shown(7, files=one))


def test_packed_pixels_may_be_of_any_number_in_their_last_dimension():
    packed = ("pixel_values",)
    assert alike(shown(5, (3, 4, 4), packed), shown(5, (3, 4, 9), packed))
    assert not alike(shown(5, (3, 4, 4), packed), shown(5, (2, 4, 4), packed))
    assert not alike(shown(5, (3, 4, 4), packed), shown(5, (3, 5, 4), packed))


def test_where_a_row_depends_on_its_neighbours_each_is_of_its_own_kind():
    numbers, one, other = loaded(numbers_rows=True), shown(5), shown(5)
    assert kind(numbers, one) == kind(numbers, one) != kind(numbers, other)


@pytest.mark.parametrize(
    ("pad", "end", "filler"), [(7, 2, 7), (0, 2, 0), (None, 2, 2), (None, None, 0)]
)
def test_short_prompts_are_padded_on_the_left(pad, end, filler):
    short = shown(4, types=torch.full((1, 4), 5), attention_mask=torch.tensor([[0, 1, 1, 1]]))
    long = shown(6, types=torch.full((1, 6), 6))
    found = batch(loaded(pad, end), [short, long])
    expected = {
        "input_ids": [[filler, filler, 10, 11, 12, 13], [10, 11, 12, 13, 14, 15]],
        "attention_mask": [[0, 0, 0, 1, 1, 1], [1] * 6],
        "types": [[0, 0, 5, 5, 5, 5], [6] * 6],
    }
    assert {name: found.tensors[name].tolist() for name in expected} == expected
    assert found.tensors["pixel_values"].shape == (2, 3, 4, 4)
    assert [row.tolist() for row in found.vision.index] == [[3, 4, 5], [3, 4, 5]]
    assert found.vision.grids == short.vision.grids * 2


def test_a_prompt_may_be_several_times_as_long_as_another():
    found = batch(loaded(), [shown(4), shown(11)]).tensors["input_ids"]
    assert found[0].tolist() == [*[0] * 7, 10, 11, 12, 13]
    assert found.shape == (2, 11)


def test_packed_pixels_stay_side_by_side_and_caveats_with_them():
    caveat = CaveatKind.DEVICE_CPU.caveat()
    rows = [shown(5, (3, 4), ("pixel_values",)), shown(4, (3, 9), ("pixel_values",))]
    rows[1] = Inputs(rows[1].tensors, rows[1].vision, (caveat,), rows[1].packed)
    found = batch(SimpleNamespace(processor=None), rows)
    assert found.tensors["pixel_values"].shape == (3, 13)
    assert (found.packed, found.caveats) == (("pixel_values",), (caveat,))
    assert found.tensors["input_ids"][1, 0] == 0
    assert batch(SimpleNamespace(), rows[:1]) is rows[0]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_padded_and_joined_as_by_hand(name):
    case = CASES[name]
    # The same picture behind few words and behind many.
    prompts = [case.prompt(words, "i", 1) for words in (3, 11)]
    model = SimpleNamespace(family=get_family(case.family), processor=None)
    rows = [inputs_of(case, prompt) for prompt in prompts]
    assert model.family.numbers_rows or not case.numbered
    if model.family.numbers_rows:
        assert kind(model, rows[0]) != kind(model, rows[1])
        return
    assert kind(model, rows[0]) == kind(model, rows[1])
    found = batch(model, rows)
    tensors, vision = case.batch(prompts)
    assert set(found.tensors) == set(tensors)
    for key, tensor in tensors.items():
        assert same(found.tensors[key], tensor), key
    assert [row.tolist() for row in found.vision.index] == vision


def test_one_prompt_is_left_as_it_is():
    case = CASES["llava"]
    row = inputs_of(case, case.prompt(3, "i", 1))
    model = SimpleNamespace(family=get_family("llava"), processor=None)
    assert batch(model, [row]) is row
    assert kind(model, row) != kind(model, inputs_of(case, case.prompt(9, "", 1)))
