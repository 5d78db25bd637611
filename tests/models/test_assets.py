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


def guessing(width, mlp, pairs):
    """What a Qwen3.5 checkpoint has beside the model: a layer that guesses the token after next."""
    attends = 3 * 16 * 256 * width + 2 * pairs * 256 * width + 2 * 256
    return mlp + attends + 2 * width**2 + 5 * width


def glm(width, inner, layers):
    """GLM-4.6V-Flash: two heads of keys, four norms a layer; a tower whose tokens are merged."""
    keys, tower = 2 * 128, 1536
    attends = 2 * width**2 + width + 2 * (keys * width + keys)
    decoder = layers * (attends + 3 * inner * width + 4 * width) + width + 2 * 151552 * width
    block = 4 * tower**2 + 3 * tower * width + 2 * tower
    eyes = 24 * block + 2 * 3 * 14**2 * tower + tower + 24**2 * tower + 2 * tower
    merged = 4 * tower * width + width + width**2 + 2 * width + 3 * width * inner
    return decoder + eyes + merged


def kimi(width, inner, experts):
    """Kimi K2.5: a DeepSeek-V3 decoder, as its checkpoint's tensors are shaped, and MoonViT."""
    latents = (512 + 64 + 1536) * width + 2 * 64 * 128 * 512 + 64 * 192 * 1536 + 512 + 1536
    attends = latents + 64 * 128 * width + 2 * width
    routed = experts * (3 * 2048 * width + width) + 3 * 2048 * width
    decoder = 61 * attends + 3 * inner * width + 60 * routed + width + 2 * 163840 * width
    tower = 1152
    block = 4 * tower**2 + 4 * tower + 2 * tower * 4304 + 4304 + tower + 4 * tower
    eyes = 27 * block + 3 * 14**2 * tower + 64**2 * tower + 3 * tower
    merged = 4 * tower
    return decoder + eyes + 2 * tower + merged**2 + merged + merged * width + width


def unused(width, pairs, windows, full):
    """Keys and values that Gemma 4's checkpoints have for the layers that share others'."""
    return sum(n * (2 * pairs * head * width + head) for n, head in ((windows, 256), (full, 512)))


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
    # Of Qwen3.6, which has the same architecture.
    "qwen3.5-35b-a3b": 35_951_822_704 - guessing(2048, 257 * (3 * 512 + 1) * 2048, 2),
    "qwen3.5-9b": 9_653_104_368 - guessing(4096, 3 * 12288 * 4096, 4),
    "qwen3.5-4b": 4_659_865_088 - guessing(2560, 3 * 9216 * 2560, 4),
    "gemma-3-4b": 4_300_079_472,
    "gemma-3-12b": 12_187_325_040,
    "gemma-3-27b": 27_432_406_640,
    # Less buffers: a factor for each layer; in the large towers, what is subtracted and divided by.
    "gemma-4-e2b": 5_123_178_051 - 35 - unused(1536, 1, 16, 4),
    "gemma-4-e4b": 7_996_156_490 - 42 - unused(2560, 2, 15, 3),
    "gemma-4-26b-a4b": 25_805_936_206 - 30 - 2 * 1152,
    "gemma-4-31b": 31_273_088_876 - 60 - 2 * 1152,
    # Published: 10B, of them 1.8 GB of 16 bits a weight in the tower.
    "glm-4.6v-flash": glm(4096, 13696, 40),
    # Its own count is of packed numbers.
    "kimi-k2.5": kimi(7168, 18432, 384),
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
