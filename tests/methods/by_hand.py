"""A Llama decoder in plain NumPy and float64, for computing by hand what a method should keep.

It knows nothing of the package and little of torch: weights and the merged prompt come from a
model of `tests.tiny_llava`, all else is arithmetic. A row is walked through the layers without its
padding; where tokens are dropped its arrays become shorter, and nothing is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.tiny_llava import IMAGE

Array = Any  # float64, or integers for columns
Choose = Callable[["Stage"], Sequence[int]]


class Decoder:
    """The weights of a tiny LLaVA's language model, and what its layers do with them."""

    def __init__(self, model: Any) -> None:
        text, inner = model.config.get_text_config(), model.model.language_model
        self.heads, self.groups = text.num_attention_heads, text.num_key_value_heads
        self.eps = text.rms_norm_eps
        self.size = text.hidden_size // self.heads
        self.frequencies = 10000.0 ** -(np.arange(0, self.size, 2) / self.size)
        self.layers = [_arrays(layer) for layer in inner.layers]
        self.final = _arrays(inner)["norm.weight"]

    def norm(self, states: Array, weight: Array) -> Array:
        """Root mean square norm."""
        return states / np.sqrt((states**2).mean(-1, keepdims=True) + self.eps) * weight

    def headed(self, layer: int, states: Array, part: str) -> Array:
        """``[heads, w, d]``: the projection ``q``, ``k`` or ``v`` of the normed ``states``."""
        weights = self.layers[layer]
        normed = self.norm(states, weights["input_layernorm.weight"])
        made = normed @ weights[f"self_attn.{part}_proj.weight"].T
        return made.reshape(len(states), -1, self.size).transpose(1, 0, 2)

    def turned(self, states: Array, positions: Array) -> Array:
        """``[heads, w, d]`` rotated to ``positions``."""
        angles = np.concatenate([np.outer(positions, self.frequencies)] * 2, axis=1)
        first, second = np.split(states, 2, axis=-1)
        return states * np.cos(angles) + np.concatenate([-second, first], -1) * np.sin(angles)

    def keys(self, layer: int, states: Array, positions: Array) -> Array:
        """``[G, w, d]`` rotated keys."""
        return self.turned(self.headed(layer, states, "k"), positions)

    def attention(self, layer: int, states: Array, positions: Array) -> Array:
        """``[H, w, w]`` causal softmax attention."""
        asked = self.turned(self.headed(layer, states, "q"), positions)
        keys = self.keys(layer, states, positions).repeat(self.heads // self.groups, axis=0)
        products = asked @ keys.transpose(0, 2, 1) / np.sqrt(self.size)
        later = np.triu(np.ones(products.shape[1:], dtype=bool), 1)
        products = np.exp(products - np.where(later, -np.inf, products).max(-1, keepdims=True))
        products = np.where(later, 0.0, products)
        return products / products.sum(-1, keepdims=True)

    def layer(self, layer: int, states: Array, positions: Array) -> Array:
        """What the next layer is given."""
        weights = self.layers[layer]
        values = self.headed(layer, states, "v").repeat(self.heads // self.groups, axis=0)
        mixed = self.attention(layer, states, positions) @ values
        mixed = mixed.transpose(1, 0, 2).reshape(len(states), -1)
        states = states + mixed @ weights["self_attn.o_proj.weight"].T
        normed = self.norm(states, weights["post_attention_layernorm.weight"])
        gate = normed @ weights["mlp.gate_proj.weight"].T
        up = normed @ weights["mlp.up_proj.weight"].T
        return states + (gate / (1 + np.exp(-gate)) * up) @ weights["mlp.down_proj.weight"].T


@dataclass
class Stage:
    """A row at a drop: its columns are those still there.

    Attributes:
        decoder: the decoder.
        layer: the drop layer.
        states: ``[w, D]`` what enters it.
        before: ``[w, D]`` what entered the layer before.
        positions: ``[w]`` the numbers that rotation goes by.
        columns: ``[w]`` which columns of the whole row they are.
        vision: the places of the alive vision tokens among them, ascending.
        after: the places of the text after the last picture.
        count: how many vision tokens are to stay.
    """

    decoder: Decoder
    layer: int
    states: Array
    before: Array
    positions: Array
    columns: Array
    vision: list[int]
    after: list[int]
    count: int

    def best(self, scores: Sequence[float]) -> list[int]:
        """The places of the highest ``scores``, one a vision token; of equal ones the earlier."""
        ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        return sorted(self.vision[i] for i in ranked[: self.count])


def merged(model: Any, inputs: Mapping[str, Any]) -> Array:
    """``[B, Q, D]`` what the decoder is given: text with the pictures' features in place."""
    seen: list[torch.Tensor] = []
    handle = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    return seen[0].double().numpy()


def walk(
    model: Any,
    inputs: Mapping[str, Any],
    drops: Mapping[int, Callable[[int], int]],
    choose: Choose,
    renumbered: bool = False,
) -> tuple[dict[int, list[tuple[int, ...]]], list[Array]]:
    """Every row of a batch through the decoder, dropping as ``choose`` says.

    Args:
        model: a tiny LLaVA.
        inputs: a batch for it, padded on any side.
        drops: per drop layer, the count that stays of so many.
        choose: a stage of a row → the places of the vision tokens that stay.
        renumbered: count positions anew after each drop.

    Returns:
        Per drop layer and row the columns of the vision tokens that stay, and per row what
        leaves the last layer.
    """
    decoder, embedded = Decoder(model), merged(model, inputs)
    kept: dict[int, list[tuple[int, ...]]] = {layer: [] for layer in drops}
    ends = []
    for states, ids, mask in zip(
        embedded, inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True
    ):
        columns = np.array([i for i, there in enumerate(mask) if there])
        droppable = {i for i in columns.tolist()[:-1] if ids[i] == IMAGE}
        last = max(droppable, default=-1)
        states, positions, before = states[columns], columns - columns[0], None
        for layer in range(len(decoder.layers)):
            vision = [place for place, i in enumerate(columns) if i in droppable]
            if layer in drops and vision:
                after = [place for place, i in enumerate(columns) if i > last]
                count = drops[layer](len(vision))
                stays = choose(
                    Stage(decoder, layer, states, before, positions, columns, vision, after, count)
                )
                gone = set(vision) - set(stays)
                left = [place for place in range(len(columns)) if place not in gone]
                states, columns, positions = states[left], columns[left], positions[left]
                positions = np.arange(len(left)) if renumbered else positions
            if layer in drops:
                kept[layer].append(tuple(i for i in columns.tolist() if i in droppable))
            before, states = states, decoder.layer(layer, states, positions)
        ends.append(states)
    return kept, ends


def _arrays(module: Any) -> dict[str, Array]:
    return {name: weight.detach().double().numpy() for name, weight in module.named_parameters()}
