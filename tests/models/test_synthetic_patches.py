"""Made-up media of the M-RoPE families: their tensors are what the model takes."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.registry import get_family
from v2drop_cli.prove.cases.case import FIRST_WORD

# (family, what) → vision tokens of each, by hand: tiny models merge 8 x 8 pixels into a token,
# or 8 x 8 of two frames, and round sides to whole tokens within the published limits.
IMAGE, VIDEO = SyntheticMedia(83, 61), SyntheticMedia(65, 49, frames=5)
TOKENS = {
    ("qwen2_vl", IMAGE): [8 * 10],
    # 64 x 48 pixels are less than 3136, so the sides of 65 x 49 are rounded up.
    ("qwen2_vl", VIDEO): [3 * 7 * 9],
    ("qwen2_5_vl", IMAGE): [8 * 10],
    ("qwen2_5_vl", VIDEO): [3 * 7 * 9],
    # An image has 256 x 256 pixels at least: 61 x 83 times 3.6 each way, rounded up.
    ("qwen3_vl", IMAGE): [28 * 38],
    ("qwen3_vl", VIDEO): [3 * 6 * 8],
    ("qwen3_vl_moe", IMAGE): [28 * 38],
    ("qwen3_5", IMAGE): [28 * 38],
    ("qwen3_5", VIDEO): [3 * 6 * 8],
    ("qwen3_5_moe", IMAGE): [28 * 38],
    # An image counts twice, and 2 x 64 x 80 pixels are less than 112 x 112.
    ("glm4v", IMAGE): [9 * 12],
    # Five frames count as four of 64 x 48, which is less too; scaled up together, as five.
    ("glm4v", VIDEO): [3 * 6 * 8],
    ("glm4v_moe", VIDEO): [3 * 6 * 8],
    ("glm46v", IMAGE): [9 * 12],
    ("glm46v", VIDEO): [3 * 6 * 8],
    ("glm_ocr", IMAGE): [9 * 12],
    # 28 x 28 pixels a token and 384 x 384 pixels at least: 61 x 83 times 5.4 each way, rounded up.
    ("paddleocr_vl", IMAGE): [12 * 16],
    # 32 x 32 and 512 x 512: times 7.2. A newline after each row, and a token at each end.
    ("hunyuan_vl", IMAGE): [14 * (19 + 1) + 2],
    # A token a patch of 14 x 14 pixels: no less than 56 x 56, so the sides are only rounded.
    ("video_llama_3", IMAGE): [4 * 6],
    # Four patches a token, and a frame has 128 tokens' pixels at least: times 5.6, rounded up.
    ("video_llama_3", VIDEO): [5 * 10 * 14],
    ("cosmos3_edge", IMAGE): [28 * 38],
    ("cosmos3_edge", VIDEO): [5 * 6 * 8],
}


def composed(config, family, made, media):
    """A word, everything made up with a word after each, a last word; and M-RoPE's types."""
    placeholders = {p.id_of(config) for p in family.placeholders}
    ids, types = [FIRST_WORD], [0]
    for item, span in zip(media, made.ids, strict=True):
        kind = 1 if item.frames is None else 2
        ids.extend([*span, FIRST_WORD])
        types.extend([*(kind if i in placeholders else 0 for i in span), 0])
    tensors = {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "mm_token_type_ids": torch.tensor([types]),
    }
    return {**tensors, **made.tensors}


@pytest.mark.parametrize(("name", "item"), TOKENS)
def test_the_model_takes_what_is_made_up(name, item):
    case, family = CASES[name], get_family(name)
    model = case.make("sdpa")
    made = family.synthetic(model.config, [item])
    inputs = composed(model.config, family, made, [item])
    with v2drop.dropping(model, case.schedule) as trace, torch.no_grad():
        model(**inputs)
    assert list(trace.events[0].before) == TOKENS[name, item]
    [grids] = family.vision_tokens(model.config, inputs).grids
    assert sum(grid.t * grid.h * grid.w for grid in grids) == TOKENS[name, item][0]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in TOKENS))
def test_several_made_up_pictures_are_joined(name):
    case, family = CASES[name], get_family(name)
    model = case.make("sdpa")
    media = [IMAGE, IMAGE]
    made = family.synthetic(model.config, media)
    assert len(made.ids) == 2
    assert made.tensors["image_grid_thw"].shape == (2, 3)
    assert made.tensors["pixel_values"].std() == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        logits = model(**composed(model.config, family, made, media)).logits
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in TOKENS))
def test_a_picture_the_processor_would_refuse_is_refused(name):
    case = CASES[name]
    config = case.make("sdpa").config
    with pytest.raises(MediaArgumentError, match="aspect ratio"):
        get_family(name).synthetic(config, [SyntheticMedia(9000, 10)])


@pytest.mark.parametrize("name", ["qwen3_vl", "glm4v", "glm46v"])
def test_a_made_up_video_of_one_frame_is_refused_as_a_real_one_is(name):
    config = CASES[name].make("sdpa").config
    with pytest.raises(MediaArgumentError, match="temporal_factor"):
        get_family(name).synthetic(config, [SyntheticMedia(640, 480, frames=1)])


def test_made_up_images_with_videos_are_refused_where_real_ones_are():
    config = CASES["glm4v"].make("sdpa").config
    with pytest.raises(MediaArgumentError, match="not both"):
        get_family("glm4v").synthetic(config, [IMAGE, VIDEO])


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_made_up_images_and_videos_keep_their_order(name):
    case, family = CASES[name], get_family(name)
    model, media = case.make("sdpa"), [VIDEO, IMAGE, VIDEO]
    made = family.synthetic(model.config, media)
    assert made.tensors["video_grid_thw"].shape == (2, 3)
    inputs = composed(model.config, family, made, media)
    with v2drop.dropping(model, case.schedule) as trace, torch.no_grad():
        model(**inputs)
    assert trace.events[0].before == (2 * TOKENS[name, VIDEO][0] + TOKENS[name, IMAGE][0],)
