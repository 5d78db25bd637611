"""Predicted memory: of towers and decoders of several kinds, against what a generation holds."""

from __future__ import annotations

import pytest

from tests.families.loaded import case_passes, loaded_case
from v2drop_cli.bench.arms import Arm
from v2drop_cli.measure.footprint import Load, footprint

TOKENS = 2


def load_of(passes):
    columns = list(passes.plan(Arm("dense")).counts)
    text = passes.inputs.tensors["input_ids"].shape[1] - passes.vision_tokens
    return Load(passes.inputs.tensors, [n + text for n in columns], 1, TOKENS)


# Patches by a convolution over time too, by a linear map, of tiles, and with states for a cache.
@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["qwen2_vl", "gemma4", "idefics3", "lfm2_vl"])
def test_weights_and_cache_are_those_of_a_generation(name):
    loaded = loaded_case(name)
    passes = case_passes(loaded)
    held = passes.memory(Arm("dense"), TOKENS)
    found = footprint(loaded, load_of(passes))
    assert found.weights_bytes == held.weights_bytes
    one = footprint(loaded, Load(passes.inputs.tensors, load_of(passes).columns, 1, TOKENS - 1))
    # The last token's keys and values are counted; nothing comes after it that would need them.
    assert one.kv_cache_bytes <= held.kv_cache_bytes <= found.kv_cache_bytes
    assert found.activation_bytes > sum(
        tensor.numel() * tensor.element_size() for tensor in passes.inputs.tensors.values()
    )


def test_eager_attention_holds_the_scores_of_all_pairs():
    """Two of them, for 4 bytes times heads times tokens squared: where there are enough tokens."""
    loaded = loaded_case("llava")
    passes = case_passes(loaded)
    config = loaded.model.config.get_text_config()
    assert loaded.attn_implementation == "eager"
    columns = [4000] * loaded.n_layers
    eager = footprint(loaded, Load(passes.inputs.tensors, columns, 1, TOKENS))
    config._attn_implementation = "sdpa"
    sdpa = footprint(loaded, Load(passes.inputs.tensors, columns, 1, TOKENS))
    scores = 2 * 4 * config.num_attention_heads * 4000**2
    assert eager.activation_bytes - sdpa.activation_bytes == scores
