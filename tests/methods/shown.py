"""Signals out of tables, for methods that are asked without a model; and a decoder run by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from v2drop_cli.methods.base import DropContext


@dataclass
class Recorded:
    """What a row of a prompt shows; every table is a tensor over its columns or alive tokens.

    Attributes:
        states: ``[n, D]`` hidden states of the alive tokens.
        inputs: ``[Q, D]`` what the decoder was given.
        after: positions of the text after the picture.
        attended: ``[H, Q, n]`` attention in the layer before the drop.
        notes: what was asked for once.
    """

    states: torch.Tensor
    inputs: torch.Tensor
    after: torch.Tensor
    attended: torch.Tensor
    layer: int = 3
    notes: dict[str, Any] = field(default_factory=dict)

    def hidden(self, rows=None):
        assert rows is None
        return self.states

    def text(self):
        return torch.cat([torch.arange(2), self.after])

    def embeddings(self):
        return self.inputs

    def text_after(self):
        return self.after

    def attention(self, rows, layer):
        assert layer == self.layer - 1
        return self.attended[:, rows]

    def once(self, name, make):
        if name not in self.notes:
            self.notes[name] = make()
        return self.notes[name]


def asked(method, signals, positions, n_keep):
    """What ``method`` says of these signals."""
    return method.select(DropContext(signals.layer, n_keep, positions, 0, signals))


@torch.no_grad()
def run_by_hand(model, states, drops, anew=True):
    """Logits ``[W, V]`` of a LLaVA's decoder, layer by layer, in eager attention.

    Args:
        model: with eager attention.
        states: ``[Q, D]`` what its decoder is given.
        drops: layer → (states ``[W, D]``, attention of the layer before ``[H, W, W]``, place of
            each column in the prompt) → what is left of the first and the last.
        anew: whether columns are numbered anew after a drop, or keep their place.
    """
    decoder, seen = model.model.language_model, []
    places, weights = list(range(len(states))), None
    for i, layer in enumerate(decoder.layers):
        if i in drops:
            states, places = drops[i](states, weights, places)
        width = len(states)
        at = torch.arange(width) if anew else torch.tensor(places)
        rope = decoder.rotary_emb(states[None], at[None])
        hidden = torch.full((width, width), torch.finfo(torch.float32).min).triu(1)
        handle = layer.self_attn.register_forward_hook(lambda m, args, out: seen.append(out[1]))
        states = layer(
            states[None],
            attention_mask=hidden[None, None],
            position_ids=at[None],
            position_embeddings=rope,
        )[0]
        handle.remove()
        weights = seen[-1][0]
    return model.lm_head(decoder.norm(states))


def decoder_input(model, inputs):
    """``[B, Q, D]``: what enters the first layer of the whole model."""
    seen = []
    layer = model.model.language_model.layers[0]
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    return seen[0]
