"""Stage D2: what its price is, and what it may change."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaModel, LlavaForConditionalGeneration

from benchmarks.tiny.export import ASSETS
from benchmarks.tiny.loop import Stage
from benchmarks.tiny.priced import moves, only_layers_learn


def test_moves_are_what_the_layers_add_to_the_vision_tokens():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
    )
    language = LlamaModel(config).eval()
    states = torch.randn(2, 9, 16)
    entering = language(inputs_embeds=states, output_hidden_states=True).hidden_states
    hooks = [dict(layer._forward_hooks) for layer in language.layers]
    with moves(language, slice(2, 7)) as found:
        language(inputs_embeds=states, use_cache=False)
    assert len(found) == 3
    for layer in range(2):  # of the last layer, transformers tells what was normed after it
        moved = entering[layer + 1][:, 2:7] - entering[layer][:, 2:7]
        torch.testing.assert_close(found[layer], moved.pow(2).sum(-1).sqrt().mean())
    assert [dict(layer._forward_hooks) for layer in language.layers] == hooks


def test_only_the_layers_of_the_language_half_learn():
    llava = LlavaForConditionalGeneration.from_pretrained(ASSETS, dtype=torch.float32)
    only_layers_learn(llava)
    learning = {name for name, weights in llava.named_parameters() if weights.requires_grad}
    assert learning
    assert all("language_model.layers." in n or "language_model.norm." in n for n in learning)


def test_another_seed_draws_other_data():
    first, second = Stage("D2", "", 1, 1e-3, 2), Stage("D2", "", 1, 1e-3, 2, seed=1)
    assert first.draws == "D2"
    assert second.draws != first.draws
