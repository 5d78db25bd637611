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
from v2drop_cli.models.registry import FAMILIES, family_for, get_family
from v2drop_cli.models.releases import release
from v2drop_cli.models.synthetic.prompt import types_of
from v2drop_cli.models.synthetic.tiles import clips
from v2drop_cli.prove.cases.case import BOS, FIRST_WORD

SHOWN = {
    "image": [SyntheticMedia(32, 20)],
    "images": [SyntheticMedia(32, 20), SyntheticMedia(17, 40)],
    "video": [SyntheticMedia(30, 20, 5)],
    "both": [SyntheticMedia(30, 20, 3), SyntheticMedia(32, 20)],
}
# An index goes through thousands of tokens one by one: what each of these has fewer of.
SLOW = {"qwen4_exp": ("video",), "dots3_note": ("image",)}
CELLS = [
    (name, kind)
    for name in CASES
    for kind in SLOW.get(name, SHOWN)
    if kind in ("image", "images") or (CASES[name].video and (kind == "video" or CASES[name].mixed))
]


def shown(case, kind):
    """Of images that must be cut alike, the first one again."""
    media = SHOWN[kind]
    return [media[0]] * len(media) if case.alike and kind == "images" else media


def prompt(case, made: Synthetic, marks) -> dict[str, torch.Tensor]:
    """The model's tensors of one row: a word, what is shown with a word after each."""
    ids, types = [BOS], [0]
    for run, marked in zip(made.ids, marks, strict=True):
        ids += [*run, FIRST_WORD]
        types += [*marked, 0]
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
    inputs = prompt(case, made, types_of(family, model.config, media, made))
    with torch.no_grad():
        out = model(**inputs)
    assert out.logits.isfinite().all()
    found = family.vision_tokens(model.config, inputs)
    placeholders = {p.id_of(model.config) for p in family.placeholders}
    assert found.counts == (sum(i in placeholders for run in made.ids for i in run),)
    assert found.counts[0] > 4
    assert sum(grid.t * grid.h * grid.w for grid in found.grids[0]) == found.counts[0]
    again = family.synthetic(model.config, media)
    for key, value in made.tensors.items():  # lists of numbers among them
        assert torch.equal(torch.as_tensor(again.tensors[key]), torch.as_tensor(value))


def test_every_family_has_made_up_media():
    assert [name for name in FAMILIES if get_family(name).synthetic is None] == []


@pytest.mark.parametrize(
    ("name", "size"),
    [("fuyu", (1, 3000)), ("phi4_multimodal", (40, 3)), ("nemotron_h_omni", (1, 60000))],
)
def test_a_picture_that_its_processor_shrinks_to_nothing_is_not_made_up(name, size):
    if name not in CASES:
        pytest.skip(f"this transformers has no {name}")
    config = CASES[name].make("sdpa").config
    with pytest.raises(MediaArgumentError, match=r"short side|fitted") as refused:
        get_family(name).synthetic(config, [SyntheticMedia(*size)])
    assert "pixels" in refused.value.hint or "thin" in refused.value.hint


def test_a_made_up_clip_of_one_frame_is_refused_as_a_real_one_is():
    if "glm5_next" not in CASES:
        pytest.skip("this transformers has no working glm5_next")
    config = CASES["glm5_next"].make("sdpa").config
    with pytest.raises(MediaArgumentError, match="2 frames and more"):
        get_family("glm5_next").synthetic(config, [SyntheticMedia(64, 48, 1)])


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
