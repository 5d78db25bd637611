"""The LLaVA family: where its vision tokens are, its prompts, its video mosaics."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.checkpoints import small_llava
from tests.tiny_llava import IMAGE, make_llava, mixed_batch
from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.media import load_image, load_video
from v2drop_cli.models import families
from v2drop_cli.models.base import Family
from v2drop_cli.models.families.llava import LLAVA, tile_frames
from v2drop_cli.models.registry import FAMILIES, family_for, get_family
from v2drop_cli.records import Grid

SAMPLES = Path(__file__).parents[3] / "sample_media"


def test_registry_and_folder_agree():
    """Whatever file defines a family, the registry has it, and the file has the family's name."""
    folder = Path(families.__file__).parent
    modules = [
        importlib.import_module(f"v2drop_cli.models.families.{path.stem}")
        for path in folder.glob("*.py")
    ]
    defined = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Family)
    }
    assert defined == set(FAMILIES)
    for name in FAMILIES:
        assert get_family(name).name == name
        assert (folder / f"{name}.py").is_file()


def test_vision_tokens_of_a_mixed_batch():
    model, inputs = make_llava(2), mixed_batch("left")
    found = LLAVA.vision_tokens(model.config, inputs)
    assert found.counts == (36, 72, 0, 36)
    for ids, index in zip(inputs["input_ids"].tolist(), found.index, strict=True):
        assert index.tolist() == [i for i, token in enumerate(ids) if token == IMAGE]
    assert [len(grids) for grids in found.grids] == [1, 2, 0, 1]
    assert found.grids[0][0] == Grid(1, 6, 6)


def test_modules_are_found_in_the_whole_model_and_in_its_base():
    model = make_llava(2)
    for part in (model, model.model):
        assert LLAVA.multimodal(part) is model.model
        assert LLAVA.decoder(part) is model.model.language_model
        assert len(LLAVA.layers(part)) == 2


def test_prompt_has_one_placeholder_run_per_image():
    model, processor = small_llava(2)
    media = [load_image(SAMPLES / "cat.jpg"), load_image(SAMPLES / "scene.png")]
    inputs = LLAVA.prepare(processor, model.config, media, "what changed?")
    assert inputs.vision.counts == (72,)
    assert inputs.tensors["pixel_values"].shape == (2, 3, 24, 24)
    text = processor.tokenizer.decode(inputs.tensors["input_ids"][0])
    assert text.index("what changed?") > text.rindex("<image>")
    moved = inputs.to(torch.device("cpu"), torch.bfloat16)
    assert moved.tensors["pixel_values"].dtype == torch.bfloat16
    assert moved.tensors["input_ids"].dtype == torch.int64


def test_text_alone_needs_no_pixels():
    model, processor = small_llava(2)
    inputs = LLAVA.prepare(processor, model.config, [], "hello")
    assert inputs.vision.counts == (0,)
    assert "pixel_values" not in inputs.tensors


def test_a_processor_without_a_chat_template_gets_llavas():
    model, processor = small_llava(2)
    processor.chat_template = None
    inputs = LLAVA.prepare(processor, model.config, [load_image(SAMPLES / "cat.jpg")], "why?")
    text = processor.tokenizer.decode(inputs.tensors["input_ids"][0]).lower()
    assert "user:" in text
    assert text.rstrip().endswith("assistant:")


@pytest.mark.parametrize(("grid", "images"), [(None, 5), ([2, 2], 2)])
def test_video_frames_are_images_or_mosaics(grid, images):
    model, processor = small_llava(2)
    if grid is not None:
        model.config.frame_grid = grid
    clip = load_video(SAMPLES / "clip.mp4", 5)
    inputs = LLAVA.prepare(processor, model.config, [clip], "what moves?")
    assert inputs.tensors["pixel_values"].shape[0] == images
    assert inputs.vision.counts == (images * 36,)


def test_mosaics_hold_the_frames_in_raster_order_and_repeat_the_last():
    frames = [Image.new("RGB", (30 + i, 20), (i * 40, 0, 0)) for i in range(5)]
    first, second = tile_frames(frames, 2, 2, 24)
    assert first.size == second.size == (24, 24)
    red = [np.asarray(image)[..., 0] for image in (first, second)]
    corners = [(6, 6), (6, 18), (18, 6), (18, 18)]
    assert [int(red[0][y, x]) for y, x in corners] == [0, 40, 80, 120]
    assert [int(red[1][y, x]) for y, x in corners] == [160] * 4


def test_mosaics_crop_to_the_central_square():
    wide = Image.new("RGB", (60, 20), (255, 0, 0))
    wide.paste((0, 255, 0), (20, 0, 40, 20))
    [mosaic] = tile_frames([wide], 1, 1, 20)
    assert np.asarray(mosaic)[10, 10].tolist() == [0, 255, 0]
    assert (np.asarray(mosaic)[..., 1] > 200).mean() > 0.85


def test_refusals():
    config = make_llava(2).config
    assert family_for(config) is LLAVA
    config.text_config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(UnsupportedModelError, match="sliding"):
        family_for(config)
    config.model_type = "unheard_of"
    with pytest.raises(UnsupportedModelError, match="unheard_of"):
        family_for(config)


@pytest.mark.parametrize("template", [None, "{{ bos_token }}USER: <image>\n{{ messages[0]['content'][-1]['text'] }} ASSISTANT:"])  # fmt: skip # noqa: E501
def test_one_begin_token_whoever_writes_it(template):
    """As `apply_chat_template(tokenize=True)`: the tokenizer's own only if the template has none."""  # noqa: E501
    model, processor = small_llava(2)
    if template is not None:
        processor.chat_template = template
    media = load_image(SAMPLES / "cat.jpg")
    picture = {"type": "image", "image": media.frames[0]}
    words = {"type": "text", "text": "what changed?"}
    own = processor.apply_chat_template(
        [{"role": "user", "content": [picture, words]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    ids = LLAVA.prepare(processor, model.config, [media], "what changed?").tensors["input_ids"]
    assert torch.equal(ids, own["input_ids"])
    assert ids[0].tolist().count(processor.tokenizer.bos_token_id) == 1
