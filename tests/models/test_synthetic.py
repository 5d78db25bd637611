"""Made-up media: the model takes what a family says a picture or a clip becomes.

`tests/processors` compares counts and shapes with the family's own processor.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
import transformers

from tests.families import CASES
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import Synthetic, SyntheticMedia
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.models.releases import release
from v2drop_cli.models.synthetic.tiles import clips
from v2drop_cli.prove.cases.case import BOS, FIRST_WORD

SHOWN = {
    "image": [SyntheticMedia(32, 20)],
    "images": [SyntheticMedia(32, 20), SyntheticMedia(17, 40)],
    "video": [SyntheticMedia(30, 20, 5)],
    "both": [SyntheticMedia(30, 20, 3), SyntheticMedia(32, 20)],
}
# Its index goes through the thousands of tokens of a picture one by one; a clip has fewer.
SLOW = ("qwen4_exp",)
CELLS = [
    (name, kind)
    for name in CASES
    if get_family(CASES[name].family).synthetic
    for kind in (("video",) if name in SLOW else SHOWN)
    if kind in ("image", "images") or (CASES[name].video and (kind == "video" or CASES[name].mixed))
]


def shown(case, kind):
    """Of images that must be cut alike, the first one again."""
    media = SHOWN[kind]
    return [media[0]] * len(media) if case.alike and kind == "images" else media


def prompt(case, made: Synthetic, media) -> dict[str, torch.Tensor]:
    """The model's tensors of one row: a word, what is shown with a word after each."""
    ids, types = [BOS], [0]
    droppable = {case.ids.get("image_token_id"), case.ids.get("video_token_id")}
    for item, run in zip(media, made.ids, strict=True):
        ids += [*run, FIRST_WORD]
        types += [(1 if item.frames is None else 2) if i in droppable else 0 for i in run] + [0]
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}
    if case.types:
        inputs["mm_token_type_ids"] = torch.tensor([types])
    if case.prefix:
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    if case.two_way:
        inputs["token_type_ids"] = torch.tensor([types])
    return inputs | dict(made.tensors)


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_the_model_takes_made_up_media(name, kind):
    if (name, kind) == ("minicpmv4_6", "images") and release(transformers.__version__) < (5, 23):
        pytest.skip("5.17 cannot encode pictures of several sizes at once")
    case, media = CASES[name], shown(CASES[name], kind)
    model = case.make("sdpa")
    family = family_for(model.config)
    made = family.synthetic(model.config, media)
    inputs = prompt(case, made, media)
    with torch.no_grad():
        out = model(**inputs)
    assert out.logits.isfinite().all()
    found = family.vision_tokens(model.config, inputs)
    placeholders = {p.id_of(model.config) for p in family.placeholders}
    assert found.counts == (sum(i in placeholders for run in made.ids for i in run),)
    assert found.counts[0] > 4
    assert sum(grid.t * grid.h * grid.w for grid in found.grids[0]) == found.counts[0]
    again = family.synthetic(model.config, media)
    assert all(torch.equal(again.tensors[key], made.tensors[key]) for key in made.tensors)


@pytest.mark.parametrize(("grid", "pictures"), [((1, 1), 5), ([2, 2], 2), ([1, 5], 1)])
def test_llavas_frames_are_images_or_mosaics(grid, pictures):
    model = CASES["llava"].make("sdpa")
    model.config.frame_grid = grid
    made = get_family("llava").synthetic(
        model.config, [SyntheticMedia(30, 20, 5), SyntheticMedia(9, 9)]
    )
    assert [len(run) for run in made.ids] == [pictures * 16, 16]
    assert made.tensors["pixel_values"].shape == (pictures + 1, 3, 16, 16)


def test_a_picture_that_lfm2_vls_processor_has_no_room_for_is_not_made_up():
    config = CASES["lfm2_vl"].make("sdpa").config
    with pytest.raises(MediaArgumentError, match="patches"):
        get_family("lfm2_vl").synthetic(config, [SyntheticMedia(1, 3000)])
    assert get_family("lfm2_vl").synthetic(config, [SyntheticMedia(100, 1500)]).ids


def test_text_alone_needs_nothing_made_up():
    for name in dict.fromkeys(name for name, _ in CELLS):
        case = CASES[name]
        family = get_family(case.family)
        assert family.synthetic(case.make("sdpa").config, []) == Synthetic([], {})


def test_clips_of_one_prompt_are_equally_long():
    config = CASES["llava_onevision"].make("sdpa").config
    clip = SyntheticMedia(30, 20, 3)
    assert clips(config, [clip, clip])["pixel_values_videos"].shape == (2, 3, 3, 16, 16)
    with pytest.raises(ValueError, match="same number"):
        clips(config, [clip, dataclasses.replace(clip, frames=4)])
