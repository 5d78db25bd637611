"""Granite Docling: where tiles lie, the fine path, and the layers that need the whole prompt."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES
from v2drop_cli.errors import ScheduleError
from v2drop_cli.models.registry import get_family

NAME = "granite_docling"
pytestmark = pytest.mark.skipif(NAME in ABSENT, reason="this transformers does not have it")
NOWHERE, WHOLE = (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def boxes(inputs):
    config = CASES[NAME].make("sdpa").config
    [grids] = get_family(NAME).vision_tokens(config, inputs).grids
    return [grid.box for grid in grids]


def test_tiles_have_no_place_unless_the_cut_is_known():
    case = CASES[NAME]
    inputs, _ = case.batch([case.prompt(3, "ii", 0)])  # two tiles beside each other, then above
    assert boxes(inputs) == [NOWHERE] * 6
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    upper, lower = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
    cut = inputs | {"tiles": torch.tensor([[1, 2], [2, 1]])}
    assert boxes(cut) == [left, right, WHOLE, upper, lower, WHOLE]


def test_a_page_of_one_tile_is_shown_once():
    case = CASES[NAME]
    inputs, _ = case.batch([case.prompt(3, "i", 2)])
    alone = {**inputs, **case.join([[case.image(2)]])} | {"tiles": torch.tensor([[1, 1]])}
    ids = case.image(2).ids
    alone["input_ids"] = torch.tensor([[1, *ids, 11]])
    assert boxes(alone) == [WHOLE]


def test_the_fine_path_has_four_times_as_many_tokens_and_all_of_them_can_go():
    case = CASES[NAME]
    inputs, [vision] = case.batch([case.prompt(3, "i", 0)])
    [ids], token = inputs["input_ids"].tolist(), case.ids["image_token_id"]
    fine = [i for i in ids for _ in range(4 if i == token else 1)]
    inputs["input_ids"] = torch.tensor([fine])
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["tile_fine_mask"] = torch.tensor([True])
    model = case.make("sdpa")
    with v2drop.dropping(model, case.schedule) as trace, torch.no_grad():
        model(**inputs)
    assert trace.events[0].before == (4 * len(vision),)
    [grids] = get_family(NAME).vision_tokens(model.config, inputs).grids
    assert [(grid.h, grid.w) for grid in grids] == [(4, 4)] * 3


def test_no_token_may_be_missing_before_deepstack_is_through():
    case = CASES[NAME]
    with (
        pytest.raises(ScheduleError, match="DeepStack"),
        v2drop.dropping(case.make("sdpa"), "1:0.5"),
    ):
        pass
