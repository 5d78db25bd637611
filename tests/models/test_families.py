"""What families say without a model: grids, prompts, presets, refusals."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import v2drop_cli as v2drop
from tests.families import CASES, NAMES
from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.media import Media
from v2drop_cli.models.decoders import WINDOWED
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.schedule import PRESETS, preset


def shown(kind: str, n_frames: int = 1, times=None) -> Media:
    frames = tuple(Image.new("RGB", (40, 30), (i * 9, 0, 0)) for i in range(n_frames))
    return Media(Path(f"a.{kind}"), kind, frames, times, 40, 30)


class Words:
    """A tokenizer without control tokens: families may ask it what an id is written as."""

    def __len__(self):
        return 13

    def __call__(self, text, **options):
        return {"input_ids": [11, 12]}

    def convert_ids_to_tokens(self, ids):
        return [f"word{i}" for i in ids]


class Recorder:
    """A processor that notes what it is given."""

    tokenizer = Words()

    chat_template = "{{ messages }}"
    image_processor = SimpleNamespace(
        min_patches=1,
        max_patches=12,
        get_tile_grid=lambda height, width: (1, 1),
        _plan_patches=lambda *sizes: (0, 0, 0, 1, 1, False),
        patch_size=16,
        size={"height": 24, "width": 24},
        vision_input_type="thumb+tile",
        tile_size=16,
        max_num_tiles=4,
    )

    def apply_chat_template(self, messages, **options):
        self.messages, self.options = messages, options
        return f"the text: {messages[0]['content'][-1]['text']}"

    def __call__(self, **given):
        self.given = given
        return {"input_ids": torch.tensor([[11, 12]])}


@pytest.mark.parametrize("name", CASES)
def test_what_the_processor_is_given(name):
    """Media first, in order, as the chat template's items; then the question."""
    case, config = CASES[name], family_config(name)
    family = get_family(case.family)
    image, video = shown("image"), shown("video", 3, (0.0, 0.5, 1.0))
    prompts = [[image], [video], [image, video]] if case.video else [[image]]
    for media in prompts if case.mixed else prompts[:2]:
        processor = Recorder()
        inputs = family.prepare(processor, config, media, "why?")
        [turn] = processor.messages
        assert [item["type"] for item in turn["content"]] == [*(m.kind for m in media), "text"]
        assert turn["content"][-1]["text"] == "why?"
        assert processor.options["add_generation_prompt"] is True
        assert ("images" in processor.given) == (image in media)
        if image in media:
            frame = image.frames[0]
            assert processor.given["images"] in ([frame], [[frame]], [[], [frame]])
        if video in media:
            frames = list(video.frames)
            assert processor.given["videos"] in ([frames], [[frames]])
        assert inputs.vision.counts == (0,)


@pytest.mark.parametrize("name", CASES)
def test_grids_cover_the_vision_tokens(name):
    case, family = CASES[name], get_family(CASES[name].family)
    for shape in case.shapes:
        prompts = case.prompts(shape)
        inputs, vision = case.batch(prompts)
        found = family.vision_tokens(family_config(name), inputs)
        assert [row.tolist() for row in found.index] == vision
        for prompt, grids, columns in zip(prompts, found.grids, vision, strict=True):
            covered = sum(grid.t * grid.h * grid.w for grid in grids)
            assert (covered > 0) == bool(prompt.pieces)
            assert covered == len(columns)


def family_config(name):
    case = CASES[name]
    from v2drop_cli.prove.cases.case import TEXT

    return case.config(TEXT, case.ids)


@pytest.mark.parametrize("name", NAMES)
def test_presets_fit_every_depth(name):
    family = get_family(name)
    assert set(PRESETS) <= set(family.presets)
    assert family.preset_source
    for depth in (16, 28, 32, 36, 64, 80):
        for chosen in family.presets:
            schedule = preset(chosen, family.presets, depth, 3, family.preset_layers)
            schedule.check(n_layers=depth, first_droppable=3)
    for chosen, text in family.presets.items():
        written = preset(chosen, family.presets, family.preset_layers, 1, family.preset_layers)
        assert str(written) == text


def test_the_authors_qwen_schedule_is_for_28_layers():
    family = get_family("qwen2_vl")
    plan = preset("official-code", family.presets, 28, 1, family.preset_layers)
    assert str(plan) == "3:0.25,16:0.05,22:1t"
    counts = plan.resolve(1000, 28)
    assert round(counts.layer_average / 1000, 3) == 0.226  # the share of tokens they report


@pytest.mark.parametrize("name", CASES)
def test_sliding_windows_that_nobody_proved_are_refused_in_every_family(name):
    config = family_config(name)
    text = config.get_text_config()
    text.sliding_window = 8
    if text.model_type in WINDOWED:
        assert family_for(config).name == CASES[name].family
        text.model_type = "llama"
    with pytest.raises(UnsupportedModelError, match="sliding"):
        family_for(config)


@pytest.mark.parametrize("name", [n for n in NAMES if "video" not in get_family(n).media])
def test_a_video_for_a_model_without_video_is_refused(name):
    with pytest.raises(MediaArgumentError, match="no video"):
        get_family(name).prepare(Recorder(), family_config(name), [shown("video", 2)], "why?")


@pytest.mark.parametrize("name", [n for n in NAMES if not CASES[n].mixed])
def test_images_with_videos_are_refused_where_the_model_cannot_tell_them_apart(name):
    processor, config = Recorder(), family_config(name)
    with pytest.raises(MediaArgumentError, match="not both"):
        get_family(name).prepare(processor, config, [shown("image"), shown("video", 2)], "why?")
    clip = shown("video", 2, (0.0, 0.5))
    get_family(name).prepare(processor, config, [clip], "why?")
    frames = list(clip.frames)
    assert processor.given["videos"] in ([frames], [[frames]])
    assert "images" not in processor.given


@pytest.mark.parametrize(
    "name", ["qwen3_vl", "qwen3_vl_moe", "qwen3_5", "glm4v", "glm4v_moe", "glm46v", "glm_ocr"]
)
def test_a_video_of_one_frame_is_refused_where_the_processor_takes_none(name):
    clip = shown("video", 1, (0.0,))
    with pytest.raises(MediaArgumentError, match="2 frames and more"):
        get_family(name).prepare(Recorder(), family_config(name), [clip], "why?")


def test_frame_times_reach_the_processor_as_they_are():
    """Frames are chosen already; times are exact to the millisecond, however uneven."""
    processor = Recorder()
    clip = shown("video", 3, (0.25, 1.0, 2.25))
    get_family("qwen2_5_vl").prepare(processor, family_config("qwen2_5_vl"), [clip], "when?")
    assert processor.given["do_sample_frames"] is False
    [metadata] = processor.given["video_metadata"]
    assert metadata.timestamps == [0.25, 1.0, 2.25]
    assert metadata.sampled_fps == 1.0  # three frames, one a second on average


@pytest.mark.parametrize("name", NAMES)
def test_tower_and_projector_run_before_the_decoder(name):
    case, family = CASES[name], get_family(name)
    model = case.make("sdpa")
    parts = {
        "tower": family.vision_tower(model),
        "projector": family.projector(model),
        "decoder": family.decoder(model),
    }
    told, ran = {part: module for part, module in parts.items() if module is not None}, []
    for part, module in told.items():
        module.register_forward_pre_hook(lambda module, args, part=part: ran.append(part))
    inputs, _ = case.batch([case.prompt(3, "iv" if case.video and case.mixed else "i", 0)])
    with torch.no_grad():
        model(**inputs)
    assert list(dict.fromkeys(ran)) == list(told)
    assert ran.count("decoder") == 1
    assert ran[-1] == "decoder"


def test_internvls_tiles_have_no_place_unless_the_cut_is_known():
    """Ids and pixels alone do not say which tiles a picture was cut into."""
    case, config, family = CASES["internvl"], family_config("internvl"), get_family("internvl")
    inputs, _ = case.batch([case.prompt(3, "ii", 0)])  # two tiles and a thumbnail; one square

    def boxes(tensors):
        [grids] = family.vision_tokens(config, tensors).grids
        return [grid.box for grid in grids]

    nowhere, whole = (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
    assert boxes(inputs) == [nowhere] * 4
    stacked = inputs | {"tiles": torch.tensor([[2, 1], [1, 1]])}
    assert boxes(stacked) == [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0), whole, whole]
    another = inputs | {"tiles": torch.tensor([[1, 3], [1, 1]])}
    assert boxes(another) == [nowhere] * 3 + [whole]


def test_video_llavas_images_are_found_under_either_name():
    """Transformers renames them: 5.17 takes the old name, 5.23 both."""
    case = CASES["video_llava"]
    model, (inputs, [vision]) = case.make("sdpa"), case.batch([case.prompt(3, "i", 0)])
    pixels = inputs.pop("pixel_values_images")
    taken = inspect.signature(type(model).forward).parameters
    names = [name for name in ("pixel_values_images", "pixel_values") if name in taken]
    kept = []
    for name in names:
        with v2drop.dropping(model, "2:0.5") as trace, torch.no_grad():
            model(**inputs, **{name: pixels})
        [event] = trace.events
        assert event.before == (len(vision),)
        kept.append(event.kept)
    assert len(names) > 0
    assert all(row == kept[0] for row in kept)
