"""Shipped architectures have exactly the number of weights their checkpoints have."""

from __future__ import annotations

import json

import pytest
import torch

from tests.families import ABSENT
from tests.models.test_loading import llava_parameters
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS
from v2drop_cli.models.registry import family_for, get_family


def qwen2(width, inner, layers, heads, pairs, words):
    """A Qwen2 decoder: biases on queries, keys and values; `words` rows of embeddings in all."""
    keys = pairs * width // heads
    block = 2 * width**2 + 2 * width * keys + width + 2 * keys + 3 * width * inner + 2 * width
    return layers * block + width + words * width


def siglip(out):
    """SigLIP-SO400M/14 at 384 px without its last layer and head, a projector of two layers."""
    width, inner, patches = 1152, 4304, (384 // 14) ** 2
    block = 4 * (width**2 + width) + 2 * width * inner + inner + width + 4 * width
    tower = 26 * block + 3 * 14**2 * width + width + patches * width + 2 * width
    return tower + width * out + out + out**2 + out


def clip(side):
    """CLIP ViT-L/14 at `side` pixels."""
    width = 1024
    block = 4 * (width**2 + width) + 2 * 4 * width**2 + 5 * width + 4 * width
    return 24 * block + 3 * 14**2 * width + ((side // 14) ** 2 + 2) * width + 4 * width


def internvit(out):
    """InternViT-300M/14 at 448 px, and a projector of four tokens at once."""
    width, patches = 1024, (448 // 14) ** 2
    block = 4 * (width**2 + width) + 2 * 4 * width**2 + 5 * width + 4 * width + 2 * width
    tower = 24 * block + 3 * 14**2 * width + width + (patches + 1) * width + width
    return tower + 8 * width + 4 * width * out + out + out**2 + out


def qwen3_5(width, mlp, layers, pairs, words):
    """A Qwen3.5 decoder of `mlp` weights a layer: every fourth layer attends, the others fold."""
    attends = 3 * 16 * 256 * width + 2 * pairs * 256 * width + 2 * 256
    folds = (8192 + 2 * 4096 + 2 * 32) * width + 4 * 8192 + 2 * 32 + 128
    return layers * (mlp + 2 * width) + layers // 4 * (attends + 3 * folds) + width + words * width


def qwen_tower(width, inner, layers, out):
    """Patches of 16 pixels in two frames, 48 x 48 learned places, four tokens merged to one."""
    block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
    merger = 2 * width + (4 * width) ** 2 + 4 * width + 4 * width * out + out
    return 2 * 3 * 16**2 * width + width + 48**2 * width + layers * block + merger


def gemma4_small(width, layers, every, sharing, pairs, wider):
    """E2B and E4B: layers that share keys have none, and an input of 256 numbers for each layer."""
    total = 262144 * width + width + (262144 + width) * 256 * layers + 256
    for layer in range(layers):
        own, head = layer < layers - sharing, 256 if (layer + 1) % every else 512
        total += 2 * 8 * head * width + head + own * (2 * pairs * head * width + head)
        total += 3 * 4 * (1 if own else wider) * width**2 + 5 * width + 2 * 256 * width
    return total + gemma4_tower(768, 3072, 16, 64) + conformer() + (768 + 1536) * width


def gemma4_large(width, inner, layers, heads, pairs, experts=0):
    """31B and 26B-A4B: keys of the full layers are their values; `pairs` of window and full."""
    total = 262144 * width + width
    for layer in range(layers):
        head, kept = (256, 2 * pairs[0]) if (layer + 1) % 6 else (512, pairs[1])
        total += (2 * heads + kept) * head * width + 2 * head + 3 * inner * width + 4 * width
    router = (width + 1) * experts + width + 3 * width if experts else 0
    total += layers * (router + experts * 3 * 704 * width)
    return total + gemma4_tower(1152, 4304, 27, 72) + 1152 * width


def gemma4_tower(width, inner, layers, head):
    block = 4 * width**2 + 3 * width * inner + 4 * width + 2 * head
    return 2 * 10240 * width + 3 * 16**2 * width + layers * block


def conformer():
    """Gemma 4's ears."""
    width = 1024
    block = 2 * (8 * width**2 + 2 * width) + 5 * width**2 + 128 + 3 * width**2 + 10 * width
    subsampled = 9 * 128 + 128 + 9 * 128 * 32 + 32 + width**2
    return 12 * block + subsampled + 1536 * width + 1536


# As the Hub's model pages count the weights of the checkpoints; where no exact count was found,
# by hand from the published architecture, and what is published to its last digit.
WEIGHTS = {
    "qwen2-vl-2b": 2_208_985_600,
    "qwen2-vl-7b": 8_291_375_616,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    # Half of the bytes in its model.safetensors.index.json, 8 875 631 616, all of them bfloat16.
    "qwen3-vl-4b": 4_437_815_808,
    "qwen3-vl-8b": 8_767_123_696,
    # LLaVA-1.5's and a newline; the authors' three files are 14.13 GB, with 64 words less.
    "llava-next-vicuna-7b": llava_parameters(4096, 11008, 32, 32064) + 4096,
    # Published: 4.5B, and 8.95B of the 9B's decoder with its head; 35B with one layer more.
    "qwen3.5-4b": qwen3_5(2560, 3 * 2560 * 9216, 32, 4, 248320) + qwen_tower(1024, 4096, 24, 2560),
    "qwen3.5-9b": qwen3_5(4096, 3 * 4096 * 12288, 32, 4, 2 * 248320)
    + qwen_tower(1152, 4304, 27, 4096),
    "qwen3.5-35b-a3b": qwen3_5(2048, (257 * 3 * 512 + 257) * 2048, 40, 2, 2 * 248320)
    + qwen_tower(1152, 4304, 27, 2048),
    "gemma-3-4b": 4_300_079_472,
    "gemma-3-12b": 12_187_325_040,
    "gemma-3-27b": 27_432_406_640,
    # Published: 5.1B and 8B, ears and eyes of 300M and 150M on top in part; 25.2B and 30.7B of
    # decoders.
    "gemma-4-e2b": gemma4_small(1536, 35, 5, 20, 1, 2),
    "gemma-4-e4b": gemma4_small(2560, 42, 6, 18, 2, 1),
    "gemma-4-26b-a4b": gemma4_large(2816, 2112, 30, 16, (8, 2), 128),
    "gemma-4-31b": gemma4_large(5376, 21504, 60, 32, (16, 4)),
    "llama-4-scout": 108_641_793_536,
    # And a newline. 1.79 GB of 16 bits a weight, embeddings tied; 8.03B as the Hub says of the
    # authors' architecture. The Hugging Face conversion pads the vocabularies to 64 more words.
    "llava-onevision-0.5b": qwen2(896, 4864, 24, 14, 2, 152000) + siglip(896) + 896,
    "llava-onevision-7b": qwen2(3584, 18944, 28, 28, 4, 2 * 152128) + siglip(3584) + 3584,
    # Published: 1.88 GB and 15.9 GB of 16 bits a weight, 0.9B and 7.9B; nothing is tied.
    "internvl3-1b": qwen2(896, 4864, 24, 14, 2, 2 * 151674) + internvit(896),
    "internvl3-8b": qwen2(3584, 18944, 28, 28, 4, 2 * 151674) + internvit(3584),
    # LLaVA-1.5's with two smaller towers; published as files of 4.98, 4.95 and 4.81 GB.
    "video-llava-7b": llava_parameters(4096, 11008, 32, 32064) - clip(336) + 2 * clip(224),
}


def test_every_shipped_architecture_is_counted():
    shipped = {alias.name for alias in ALIASES.values() if alias.config}
    assert shipped - {"llava-1.5-7b", "llava-1.5-13b"} == set(WEIGHTS)  # those: test_loading.py


HERE = [alias for alias in WEIGHTS if ALIASES[alias].family not in ABSENT]


@pytest.mark.parametrize("alias", HERE)
def test_shipped_architectures_have_the_right_size(alias):
    from transformers import AutoModelForImageTextToText

    file = ASSETS / ALIASES[alias].config
    config = read_config_file(file)
    assert family_for(config).name == ALIASES[alias].family
    source = json.loads(file.read_text())["_source"]
    assert "arXiv" in source or "github.com/" in source
    made = get_family(ALIASES[alias].family).synthetic(config, [SyntheticMedia(640, 480)])
    assert config.image_token_id in made.ids[0]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == WEIGHTS[alias]
