"""How many tokens a model was made for, however its configuration says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from transformers import LlamaConfig, Qwen2VLConfig

from v2drop_cli.models.context_length import beyond_context, context_of
from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS


def scaled(kind, factor, trained=None, **more):
    """Rotary positions of one kind, with the length they were trained at where it is told."""
    told = {} if trained is None else {"original_max_position_embeddings": trained}
    return {"rope_type": kind, "factor": factor, **told, **more}


BANDS = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
FACTORS = {"long_factor": [1.0] * 4, "short_factor": [1.0] * 4}


@pytest.mark.parametrize(
    ("stated", "rope", "tokens"),
    [
        (4096, None, 4096),
        # lmsys/vicuna-7b-v1.5-16k: stated before stretching
        (4096, scaled("linear", 4.0), 16384),
        (32768, scaled("dynamic", 2.0), 65536),
        # the Qwen2.5 cards' own advice for long texts: stated before stretching, too
        (32768, scaled("yarn", 4.0, 32768), 131072),
        (32768, scaled("yarn", 4.0), 131072),
        # stated after stretching
        (131072, scaled("yarn", 4.0, 32768), 131072),
        # meta-llama/Llama-3.1-8B: the factor is no length
        (131072, scaled("llama3", 8.0, 8192, **BANDS), 131072),
        # microsoft/Phi-3.5-mini: a factor for every frequency, stated after stretching
        (131072, scaled("longrope", None, 4096, **FACTORS), 131072),
    ],
)
def test_context_of_scaled_positions(stated, rope, tokens):
    rope = rope and {**rope, "rope_theta": 1e4}
    config = LlamaConfig(
        max_position_embeddings=stated,
        rope_parameters=rope,
        hidden_size=32,
        num_attention_heads=4,
        num_hidden_layers=1,
    )
    assert context_of(config) == tokens


def test_positions_of_their_own_kind_for_some_layers():
    config = LlamaConfig(max_position_embeddings=100)
    plain, stretched = {"rope_type": "default"}, {"rope_type": "linear", "factor": 3.0}
    config.rope_parameters = {"full_attention": stretched, "sliding_attention": plain}
    assert context_of(config) == 100
    config.rope_parameters = {"full_attention": stretched}
    assert context_of(config) == 300


def test_the_text_models_number_counts_and_a_missing_one_is_not_guessed():
    config = Qwen2VLConfig()
    config.get_text_config().max_position_embeddings = 123
    assert context_of(config) == 123
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(rope_parameters=None))
    assert context_of(config) is None
    assert beyond_context(config, 10**9, 1) is None


@pytest.mark.parametrize(
    ("alias", "tokens"), [("llava-1.5-7b", 4096), ("qwen2-vl-7b", 32768), ("internvl3-1b", 65536)]
)
def test_the_shipped_architectures(alias, tokens):
    assert context_of(read_config_file(ASSETS / ALIASES[alias].config)) == tokens


def test_both_numbers_are_in_the_caveat():
    config = LlamaConfig(max_position_embeddings=4096)
    assert beyond_context(config, 4000, 96) is None
    caveat = beyond_context(config, 4608, 64)
    assert caveat.code == "beyond_context"
    for number in ("4,608", "64", "4,096"):
        assert number in caveat.message
    assert beyond_context(config, 4096, 1) is not None
