"""Shipped architectures have exactly the number of weights their checkpoints have."""

from __future__ import annotations

import json

import pytest
import torch

from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.registry import ALIASES, ASSETS, family_for

# As the Hub's model pages count the weights of the checkpoints. For qwen3-vl-4b: half of the
# bytes in its model.safetensors.index.json, 8 875 631 616, all of them bfloat16.
WEIGHTS = {
    "qwen2-vl-2b": 2_208_985_600,
    "qwen2-vl-7b": 8_291_375_616,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    "qwen3-vl-4b": 4_437_815_808,
    "qwen3-vl-8b": 8_767_123_696,
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
