"""Mistral 3 and Pixtral: grids of any size, and the towers that are refused."""

from __future__ import annotations

import pytest
import torch

from tests.families import CASES
from v2drop_cli.errors import ModelError, UnsupportedModelError
from v2drop_cli.models.dummy import dummy_processor
from v2drop_cli.models.names import Source
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.prove.cases.case import TEXT
from v2drop_cli.records import Grid

NAMES = ["mistral3", "pixtral"]


@pytest.mark.parametrize("name", NAMES)
def test_grids_of_several_pictures_in_several_rows(name):
    case = CASES[name]
    pieces = [case.image(seed) for seed in range(3)]
    ids = [[i for p in pieces[:2] for i in p.ids], pieces[2].ids]
    tensors = {
        "input_ids": torch.tensor([row + [0] * (40 - len(row)) for row in ids]),
        "pixel_values": torch.ones(1),
        "image_sizes": torch.cat([p.tensors["image_sizes"] for p in pieces]),
    }
    config = case.config(TEXT, case.ids)
    found = get_family(case.family).vision_tokens(config, tensors)
    assert found.grids == ((Grid(1, 3, 4), Grid(1, 4, 3)), (Grid(1, 2, 5),))
    assert found.counts == (24, 10)


def test_mistral3s_parts_are_found():
    model, family = CASES["mistral3"].make("sdpa"), get_family("mistral3")
    assert family.vision_tower(model) is model.model.vision_tower
    assert family.projector(model) is model.model.multi_modal_projector


def test_dummy_pixtral_has_no_stand_in_for_its_processor(tmp_path):
    """The stand-in cuts pictures to squares."""
    case = CASES["pixtral"]
    config = case.config(TEXT, case.ids)
    with pytest.raises(ModelError, match="processor"):
        dummy_processor(Source(str(tmp_path), None, True), config)


def test_other_towers_are_refused_in_llava():
    case = CASES["llava"]
    config = case.config(TEXT, case.ids)
    config.vision_config.model_type = "dinov2"
    with pytest.raises(UnsupportedModelError, match=r"'dinov2'.* pixtral"):
        family_for(config)
