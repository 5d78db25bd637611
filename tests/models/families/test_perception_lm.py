"""PerceptionLM: where tiles lie, images that cannot be stacked, a tower that tells no sizes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES
from tests.models.test_families import Recorder, shown
from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.registry import get_family

FAMILY, CASE = get_family("perception_lm"), CASES["perception_lm"]


def config():
    return CASE.make("sdpa").config


def test_tiles_have_no_place_unless_the_cut_is_known():
    inputs, _ = CASE.batch([CASE.prompt(3, "i", 0)])  # a thumbnail and two tiles

    def boxes(tensors):
        [grids] = FAMILY.vision_tokens(config(), tensors).grids
        assert {(grid.t, grid.h, grid.w) for grid in grids} == {(1, 2, 2)}
        return [grid.box for grid in grids]

    nowhere, whole = (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
    assert boxes(inputs) == [whole, nowhere, nowhere]
    stacked = inputs | {"tiles": torch.tensor([[2, 1]])}
    assert boxes(stacked) == [whole, (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
    assert boxes(inputs | {"tiles": torch.tensor([[2, 2]])}) == [whole, nowhere, nowhere]


def test_frames_of_a_video_are_one_grid_of_many_steps():
    inputs, _ = CASE.batch([CASE.prompt(3, "v", 0)])
    [[grid]] = FAMILY.vision_tokens(config(), inputs).grids
    assert (grid.t, grid.h, grid.w) == (4, 2, 2)


def test_images_that_transformers_cannot_stack_are_refused():
    media = [shown("image"), shown("image")]
    FAMILY.prepare(Recorder(), config(), media, "why?")
    other = SimpleNamespace(kind="image", frames=(shown("image").frames[0].resize((310, 100)),))
    with pytest.raises(MediaArgumentError, match="same number of tiles; these have 4, 3") as caught:
        FAMILY.prepare(Recorder(), config(), [media[0], other], "why?")
    assert "one at a time" in caught.value.hint


def test_a_tower_that_does_not_say_its_sizes_is_not_made_up_for():
    plain = config()
    plain.vision_config.architecture = "resnet50"
    with pytest.raises(UnsupportedModelError, match="does not say how large"):
        FAMILY.synthetic(plain, [SyntheticMedia(40, 30)])
