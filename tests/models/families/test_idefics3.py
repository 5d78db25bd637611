"""Idefics3 and SmolVLM: what each tile covers, frames, and prompts."""

from __future__ import annotations

import pytest
import torch

from tests.families import CASES
from tests.models.test_families import Recorder, shown
from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.registry import get_family
from v2drop_cli.prove.cases.case import TEXT
from v2drop_cli.records import Grid

WHOLE = Grid(1, 2, 2)


def grids(name, *pieces):
    case = CASES[name]
    ids = [2, *(i for piece in pieces for i in [*piece.ids, 11])]
    tensors = {"input_ids": torch.tensor([ids]), "pixel_values": torch.ones(1)}
    [row] = get_family(name).vision_tokens(case.config(TEXT, case.ids), tensors).grids
    return row


def test_tiles_cover_their_part_of_the_picture():
    image = CASES["idefics3"].image
    left, right = (Grid(1, 2, 2, (x / 2, 0.0, (x + 1) / 2, 1.0)) for x in (0, 1))
    upper, lower = (Grid(1, 2, 2, (0.0, y / 2, 1.0, (y + 1) / 2)) for y in (0, 1))
    assert grids("idefics3", image(0)) == (left, right, WHOLE)
    assert grids("idefics3", image(1)) == (upper, lower, WHOLE)
    assert grids("idefics3", image(2)) == (WHOLE,)
    together = (WHOLE, upper, lower, WHOLE, left, right, WHOLE)
    assert grids("idefics3", image(2), image(1), image(3)) == together


def test_every_frame_is_a_whole_picture():
    assert grids("smolvlm", CASES["smolvlm"].video(0)) == (WHOLE,) * 3


def test_a_video_is_not_left_out_by_an_old_template():
    """Checkpoints carry templates from before videos; the library's own has them."""
    case, processor = CASES["smolvlm"], Recorder()
    config = case.config(TEXT, case.ids)
    get_family("smolvlm").prepare(processor, config, [shown("video", 2)], "why?")
    assert "<video>" in processor.options["chat_template"]
    get_family("smolvlm").prepare(processor, config, [shown("image")], "why?")
    assert processor.options["chat_template"] == Recorder.chat_template


def test_images_and_videos_in_one_prompt_are_refused():
    case = CASES["smolvlm"]
    config = case.config(TEXT, case.ids)
    with pytest.raises(MediaArgumentError, match="images or videos, not both"):
        get_family("smolvlm").prepare(
            Recorder(), config, [shown("image"), shown("video", 2)], "why?"
        )


@pytest.mark.parametrize("name", ["idefics3", "smolvlm"])
def test_modules_are_found_in_the_whole_model_and_in_its_base(name):
    model, family = CASES[name].make("sdpa"), get_family(name)
    for part in (model, model.model):
        assert family.multimodal(part) is model.model
        assert family.decoder(part) is model.model.text_model
        assert family.vision_tower(part) is model.model.vision_model
        assert family.projector(part) is model.model.connector
    with pytest.raises(UnsupportedModelError, match="no text_model"):
        family.decoder(model.lm_head)
