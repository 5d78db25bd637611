"""Run by `test_processors.py`: made-up media have what the family's own processor gives.

The processors are loaded from files with the settings that the published checkpoints have.
"""

from __future__ import annotations

import json
import math

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from tests.families import ABSENT, CASES
from tests.processors.check_families import NUMPY_OF_TORCH, tiny_tokenizer
from v2drop_cli.media import Media
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.registry import get_family
from v2drop_cli.models.synthetic import patches
from v2drop_cli.prove.cases.qwen2_vl import PATCH

QWEN2_SIZES = {"min_pixels": 3136, "max_pixels": 12845056}
# Settings files of the checkpoints as published: Qwen2(.5)-VL has none for videos.
FILES = {
    "qwen2_vl": {"preprocessor_config.json": QWEN2_SIZES},
    "qwen2_5_vl": {"preprocessor_config.json": QWEN2_SIZES},
    "hyperclovax_vision_v2": {"preprocessor_config.json": QWEN2_SIZES},
    "qwen3_vl": {
        "preprocessor_config.json": {"size": {"shortest_edge": 65536, "longest_edge": 16777216}},
        "video_preprocessor_config.json": {
            "size": {"shortest_edge": 4096, "longest_edge": 25165824}
        },
    },
    "cosmos3_edge": {"preprocessor_config.json": {}, "video_preprocessor_config.json": {}},
    "glm4v": {
        "preprocessor_config.json": {"size": {"shortest_edge": 12544, "longest_edge": 9633792}},
        "video_preprocessor_config.json": {},  # the class's own
    },
    # As in GLM-4.1V's files.
    "glm46v": {
        "preprocessor_config.json": {"size": {"shortest_edge": 12544, "longest_edge": 9633792}},
        "video_preprocessor_config.json": {},
    },
    "glm_ocr": {
        "preprocessor_config.json": {"size": {"shortest_edge": 12544, "longest_edge": 9633792}},
        "video_preprocessor_config.json": {},
    },
    # The classes' own: no checkpoint's file is known.
    "glmga": {"preprocessor_config.json": {}, "video_preprocessor_config.json": {}},
    "lfm3_vl": {"preprocessor_config.json": {}, "video_preprocessor_config.json": {}},
    "hunyuan_vl": {"preprocessor_config.json": {}},
    "paddleocr_vl": {"preprocessor_config.json": {}},
    "video_llama_3": {"preprocessor_config.json": {}, "video_preprocessor_config.json": {}},
}
CLASSES = {
    "qwen2_vl": ("Qwen2VLImageProcessor", "Qwen2VLVideoProcessor", "Qwen2VLProcessor"),
    "qwen2_5_vl": ("Qwen2VLImageProcessor", "Qwen2VLVideoProcessor", "Qwen2_5_VLProcessor"),
    "hyperclovax_vision_v2": (
        "Qwen2VLImageProcessor",
        "Qwen2VLVideoProcessor",
        "HyperCLOVAXVisionV2Processor",
    ),
    "qwen3_vl": ("Qwen2VLImageProcessor", "Qwen3VLVideoProcessor", "Qwen3VLProcessor"),
    "cosmos3_edge": (
        "Cosmos3EdgeImageProcessor",
        "Cosmos3EdgeVideoProcessor",
        "Cosmos3EdgeProcessor",
    ),
    "glm4v": ("Glm4vImageProcessor", "Glm4vVideoProcessor", "Glm4vProcessor"),
    "glm46v": ("Glm46VImageProcessor", "Glm46VVideoProcessor", "Glm46VProcessor"),
    "glm_ocr": ("Glm46VImageProcessor", "Glm46VVideoProcessor", "Glm46VProcessor"),
    "glmga": ("GlmgaImageProcessor", "GlmgaVideoProcessor", "Glm46VProcessor"),
    "lfm3_vl": ("Qwen2VLImageProcessor", "Qwen3VLVideoProcessor", "Lfm3VlProcessor"),
    "hunyuan_vl": ("HunYuanVLImageProcessor", None, "HunYuanVLProcessor"),
    "paddleocr_vl": ("PaddleOCRVLImageProcessor", None, "PaddleOCRVLProcessor"),
    "video_llama_3": (
        *("VideoLlama3ImageProcessor", "VideoLlama3VideoProcessor", "VideoLlama3Processor"),
    ),
}
# Of the tiny models, where these are not `PATCH` pixels, two frames a step, 2 x 2 patches a token.
SHAPES = {
    "hunyuan_vl": {"patch_size": 16, "temporal_patch_size": 1},
    "paddleocr_vl": {"patch_size": 14, "temporal_patch_size": 1},
    "video_llama_3": {"patch_size": 14, "temporal_patch_size": 1},
}
pytestmark = pytest.mark.filterwarnings(NUMPY_OF_TORCH)
PICTURES = [(640, 480), (83, 61), (9, 500), (3, 4), (1000, 1000)]
CLIPS = [(64, 48, 2), (65, 49, 5), (321, 200, 8)]
# Sizes at both ends of the limits are only counted: their pixels would fill the memory.
COUNTED = [*PICTURES, (1, 1), (1, 200), (2183, 2185), (4032, 3024), (8000, 6000), (30, 6000)]
# Even numbers of frames: older versions of transformers count odd ones short (but process them).
COUNTED_CLIPS = [(65, 49, 4), (8, 8, 2), (40, 30, 6), (1920, 1080, 16), (3840, 2160, 64), (80, 90, 768)]  # fmt: skip # noqa: E501


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Family name → its processor with the published settings, at the tiny models' patches."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            case, (images, videos, processor) = CASES[name], CLASSES[name]
            tiny_tokenizer(case).save_pretrained(folder)
            for file, settings in FILES[name].items():
                own = {"video_processor_type": videos}
                own = own if file.startswith("video") else {"image_processor_type": images}
                kind = {"processor_class": processor, **own}
                shapes = {"patch_size": PATCH, "merge_size": 2}
                if name != "cosmos3_edge":  # which knows no time steps
                    shapes["temporal_patch_size"] = 2
                shapes |= SHAPES.get(name, {})
                if name == "video_llama_3" and not file.startswith("video"):
                    shapes["merge_size"] = 1
                (folder / file).write_text(json.dumps({**settings, **shapes, **kind}))
            made[name] = AutoProcessor.from_pretrained(folder)
            made[name].chat_template = case.template
        return made[name]

    return make


def config_of(case, processor):
    from v2drop_cli.prove.cases.case import TEXT

    ids = {k: processor.tokenizer.convert_tokens_to_ids(t) for k, t in case.tokens.items()}
    return case.config({**TEXT, "vocab_size": len(processor.tokenizer)}, ids)


def real(tmp_path, item: SyntheticMedia) -> Media:
    """A picture or clip of that size, two frames a second."""
    n = item.frames or 1
    frames = tuple(Image.new("RGB", (item.width, item.height), (i, 50, 90)) for i in range(n))
    kind, times = ("image", None) if item.frames is None else ("video", [i / 2 for i in range(n)])
    return Media(tmp_path / "a", kind, frames, times and tuple(times), item.width, item.height)


SHOWN = [
    (name, size)
    for name in sorted(set(FILES) - ABSENT)
    for size in (*PICTURES, *CLIPS * bool(CASES[name].video))
]


@pytest.mark.parametrize(("name", "size"), SHOWN, ids=str)
def test_counts_and_tensors_are_the_processors(published, tmp_path, name, size):
    case, family, processor = CASES[name], get_family(CASES[name].family), published(name)
    config, item = config_of(case, processor), SyntheticMedia(*size)
    prepared = family.prepare(processor, config, [real(tmp_path, item)], "why?")
    made = family.synthetic(config, [item])
    placeholders = {p.id_of(config) for p in family.placeholders}
    assert sum(i in placeholders for i in made.ids[0]) == prepared.vision.counts[0]
    ids = prepared.tensors["input_ids"][0].tolist()
    assert specials(made.ids[0], case, config) == specials(ids, case, config)
    of_text = {"input_ids", "attention_mask", "mm_token_type_ids"}
    assert set(made.tensors) == set(prepared.tensors) - of_text
    for key, tensor in made.tensors.items():
        assert tensor.shape == prepared.tensors[key].shape, key
        assert tensor.dtype == prepared.tensors[key].dtype, key
        if not key.startswith("pixel_values"):
            assert torch.equal(tensor, prepared.tensors[key]), key


def specials(ids, case, config):
    """The placeholders and delimiters among `ids`, in order."""
    known = {getattr(config, name) for name in case.ids}
    return [i for i in ids if i in known]


@pytest.mark.parametrize("name", sorted(set(FILES) - ABSENT))
def test_every_size_is_fitted_as_the_processor_fits_it(published, monkeypatch, name):
    monkeypatch.setattr(
        patches, "_pixels", lambda config, _: torch.zeros(0, 3 * config.vision_config.patch_size**2)
    )
    case, family, processor = CASES[name], get_family(CASES[name].family), published(name)
    config = config_of(case, processor)
    for width, height in COUNTED:
        made = family.synthetic(config, [SyntheticMedia(width, height)])
        counted = processor.image_processor.get_number_of_image_patches(height, width, {})
        counted = math.prod(counted) if isinstance(counted, tuple) else counted  # rows and columns
        assert made.tensors["image_grid_thw"].prod() == counted, (width, height)
    if not case.video:
        return
    if not hasattr(processor.video_processor, "get_num_of_video_patches"):
        pytest.skip("this version of transformers counts no patches of this family's videos")
    for width, height, frames in COUNTED_CLIPS:
        made = family.synthetic(config, [SyntheticMedia(width, height, frames)])
        counted = processor.video_processor.get_num_of_video_patches(frames, height, width, {})
        assert made.tensors["video_grid_thw"].prod() == counted, (width, height, frames)
