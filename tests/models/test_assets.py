"""Shipped architectures have exactly the number of weights their checkpoints have."""

from __future__ import annotations

import json

import pytest
import torch

from tests.models.test_loading import llava_parameters
from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS
from v2drop_cli.models.registry import family_for


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


@pytest.mark.parametrize("alias", WEIGHTS)
def test_shipped_architectures_have_the_right_size(alias):
    from transformers import AutoModelForImageTextToText

    file = ASSETS / ALIASES[alias].config
    config = read_config_file(file)
    assert family_for(config).name == ALIASES[alias].family
    assert "arXiv" in json.loads(file.read_text())["_source"]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == WEIGHTS[alias]
