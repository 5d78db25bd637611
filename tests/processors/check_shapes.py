"""Run by `test_processors.py`: pictures of every shape are answered, or refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.families import CASES
from tests.processors.check_families import NUMPY_OF_TORCH
from v2drop_cli.errors import MediaArgumentError, MediaError
from v2drop_cli.media import Media
from v2drop_cli.models import chat
from v2drop_cli.prove.cases.mistral3 import MERGE, PATCH

pytestmark = pytest.mark.filterwarnings(NUMPY_OF_TORCH)
SIZES = [
    (1, 1),
    (3, 2),
    (1, 300),
    (300, 1),
    (1, 3000),
    (3000, 10),
    (2000, 10),
    (10, 1990),
    (3, 599),
    (7, 333),
    (333, 7),
    (28, 5600),
    (40, 3),
]
RATIO = (
    "dots3_note",
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v", "glm4v_moe"),
    *("qwen3_5", "qwen3_5_moe", "qwen4_exp"),
    *("qwen2_5_omni", "qwen3_omni_moe", "exaone4_5"),
    *("cosmos3_omni", "cosmos3_edge", "hyperclovax_vision_v2", "cohere_compass"),
    *("glm46v", "glmga", "glm_ocr", "hunyuan_vl", "paddleocr_vl", "video_llama_3"),
    "lfm3_vl",
)
PADDED = ("deepseek_ocr2", "unlimited_ocr")
FILLED = ("glm5_next",)  # with black, to whole tokens
QUARTERED = ("idefics2",)
ROUNDED = ("lfm2_vl",)  # to more patches than its tensors have room for
GRIDDED = ("nemotron_h_omni", "fuyu", "phi4_multimodal")  # down to no patch, or no pixel
PROCESSORS_OWN = (*RATIO, *PADDED, *QUARTERED, *ROUNDED, *GRIDDED)
MISTRAL3 = ("mistral3", "ministral3", "mistral4", "mistral_large4")
PIXTRAL = ("pixtral", "lighton_ocr", *MISTRAL3)
# Their processors make a clip of any size large: one shape is enough for the model.
LARGE_CLIPS = ("qwen2_5_omni", "qwen3_omni_moe")
LLAVA = ("llava", "pixtral", "vipllava")  # whose videos are pictures
KINDS = [(name, kind) for name in CASES for kind in CASES[name].kinds]


def shown(kind, size, alike=False):
    """A picture or clip of that size; beside another of several, or beside itself."""
    n = 4 if kind == "video" else 1
    frames = tuple(Image.new("RGB", size, (i * 40, 90, 30)) for i in range(n))
    if kind == "video":
        times = tuple(i / 2 for i in range(n))
        return [Media(Path("made.mp4"), "video", frames, times, *size)]
    made = [Media(Path("made.png"), "image", frames, None, *size)]
    if alike:
        made *= 1 + (kind == "images")
    elif kind == "images":
        made.append(Media(Path("b.png"), "image", (Image.new("RGB", (40, 30)),), None, 40, 30))
    return made


def transformers_takes(model, media):
    """Whether the processor itself, called as it is, makes something of the same media."""
    alike = ("mistral3", "mistral_large4", "lighton_ocr", "llava", "vipllava")
    checked = model.family.name in (*PROCESSORS_OWN, *alike)
    process = chat.process if checked else model.family.process
    more = CASES[model.family.name].asked if checked else {}
    if model.family.name == "fuyu":  # whose processor writes places for pictures by itself
        process = fuyus_own
    try:
        tensors = process(model.processor, model.model.config, media, "why?", **more)
    except ValueError:
        return False
    except (RuntimeError, ZeroDivisionError):
        if model.family.name not in (*QUARTERED, *ROUNDED, *GRIDDED):
            raise
        return False
    return model.family.name not in ROUNDED or fits(tensors)


def fuyus_own(processor, config, media, prompt):
    """One picture and a prompt, as they are."""
    options = {"return_legacy_image_output": False, "return_tensors": "pt"}
    return processor(images=media[0].frames[0], text=prompt, **options)


def fits(tensors):
    """Whether the mask knows all patches: the processor masks and pads to their most."""
    return tensors["pixel_values"].shape[1] == tensors["pixel_attention_mask"].shape[1]


def no_merged_patch(size):
    """Whether a side of the picture, 64 pixels at most, has not two of the tiny tower's patches."""
    ratio = max(1, max(size) / 64)
    return math.ceil(math.floor(min(size) / ratio) / PATCH) < MERGE


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_shape_is_answered_or_refused_by_name(loaded, name, kind, size):
    model, media = loaded(name), shown(kind, size, CASES[name].alike)
    if name == "fast_vlm" and size == (1, 3000):  # 256 x 768,000 pixels on the way to the crop
        with pytest.raises(MediaError, match="too long and thin"):
            model.prepare(media, "why?")
        return
    # Guessed to be the colour channels, see below; and a single token, which loses its axis.
    guessed = size[1] in (1, 3) and (
        name == "video_llava" or (kind == "video" and name not in LLAVA)
    )
    alone = name in MISTRAL3 and kind == "image" and size in ((1, 1), (3, 2))
    as_pictures = shown("image", size) if name in LLAVA and kind == "video" else media
    # LightOnOCR's processor makes no token of it, which no model takes.
    alone = alone or (name == "lighton_ocr" and no_merged_patch(size))
    if guessed or alone or not transformers_takes(model, as_pictures):
        assert guessed or name in (*PROCESSORS_OWN, *PIXTRAL)
        with pytest.raises(MediaArgumentError) as refused:
            model.prepare(media, "why?")
        for text in ("made.", f"{size[0]} x {size[1]} pixels"):
            assert text in refused.value.message
        assert "pixels" in refused.value.hint
        return
    prepared = model.prepare(media, "why?")
    [index], [grids] = prepared.vision.index, prepared.vision.grids
    assert sum(grid.t * grid.h * grid.w for grid in grids) == len(index) > 0
    if kind != "video" or name not in LARGE_CLIPS or size == (3, 2):
        with torch.no_grad():
            model.model(**prepared.to(torch.device("cpu"), torch.float32).tensors)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in KINDS if n in RATIO])
def test_what_the_hint_says_is_enough(loaded, name, kind):
    """A short side of as many pixels as it names, and not one less."""
    with pytest.raises(MediaArgumentError) as refused:
        loaded(name).prepare(shown(kind, (3000, 10)), "why?")
    assert "15 pixels" in refused.value.hint
    assert loaded(name).prepare(shown(kind, (3000, 15)), "why?").vision.counts[0] > 0
    if (name, kind) in {("qwen2_vl", "image"), ("glm4v", "video")}:
        with pytest.raises(MediaArgumentError):
            loaded(name).prepare(shown(kind, (3000, 14)), "why?")


@pytest.mark.parametrize(("kind", "size"), [("image", (1, 300)), ("images", (3000, 10))])
def test_what_the_hint_of_too_many_patches_says_is_enough(loaded, kind, size):
    """A short side of as many pixels as it names, any more, and not one less."""
    model = loaded("lfm2_vl")
    with pytest.raises(MediaArgumentError) as refused:
        model.prepare(shown(kind, size), "why?")
    named = int(refused.value.hint.split("short side to ")[1].split()[0])
    long = size.index(max(size))

    def thick(pixels):
        return tuple(side if i == long else pixels for i, side in enumerate(size))

    for pixels in (named, named + 1, 2 * named):
        assert model.prepare(shown(kind, thick(pixels)), "why?").vision.counts[0] > 0
    with pytest.raises(MediaArgumentError):
        model.prepare(shown(kind, thick(named - 1)), "why?")


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision", "llava_next_video"])
def test_newlines_of_a_tall_picture_lie_at_its_right_edge(loaded, name):
    """Its padding cut, no column of tiles is left: what stays are newlines, as in the model."""
    [grids] = loaded(name).prepare(shown("image", (1, 300)), "why?").vision.grids
    whole, newlines = grids
    assert whole.box == (0.0, 0.0, 1.0, 1.0)
    assert (newlines.t, newlines.w) == (1, 1)
    assert newlines.h > 1
    assert newlines.box == (1.0, 0.0, 1.0, 1.0)


GUESSING = [(n, "video") for n in CASES if CASES[n].video and n not in LLAVA]


@pytest.mark.parametrize("size", [(40, 4), (3, 40), (1, 40), (40, 40)], ids=str)
@pytest.mark.parametrize(("name", "kind"), [*GUESSING, ("video_llava", "image")])
def test_one_colour_stays_one_colour(loaded, name, kind, size):
    """What is not refused for its rows is seen as it is: one value a channel."""
    frames = (Image.new("RGB", size, (200, 30, 90)),) * (4 if kind == "video" else 1)
    times = tuple(i / 2 for i in range(4)) if kind == "video" else None
    media = [Media(Path("made.mp4"), kind, frames, times, *size)]
    tensors = loaded(name).prepare(media, "why?").tensors
    [pixels] = [tensor for key, tensor in tensors.items() if key.startswith("pixel_values")]
    for places in (tensor for key, tensor in tensors.items() if key.endswith("_position_ids")):
        pixels = pixels[places[..., 0] >= 0]  # the rest is no picture, but fills the tensor up
    filled = name in FILLED and any(side % (PATCH * MERGE) for side in size)
    assert len(pixels.unique()) == (6 if filled else 3)  # black is another value a channel
