"""Memory that a prompt needs, predicted from shapes before anything runs.

Weights and the KV cache are counted exactly. Activations are those of the widest moment: either
the vision tower holds one block's values for every patch, or the decoder one layer's for every
token (in a gated feed-forward, three tensors of its width and three of the hidden size). Kernels'
work space, and what an allocator keeps in reserve, are left out: a report shows the prediction
beside what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.measure.work import decoder_shape
from v2drop_cli.models.arguments import heads_one_token
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records.curves import Footprint
from v2drop_cli.tensors import address

_HIDDEN, _WIDE = 3, 3
"""Tensors of the hidden size, and of the feed-forward's width, that live at once in a layer."""
_SCORES = 2
"""Eager attention holds its scores, and their softmax."""
_PIXELS = "pixel_values"


@dataclass(frozen=True, slots=True)
class Load:
    """What a prompt puts on a model.

    Attributes:
        tensors: of one row, as a processor gives them.
        columns: per decoder layer, tokens of one row that it processes.
        rows: of the batch.
        new_tokens: that are generated.
    """

    tensors: Mapping[str, Tensor]
    columns: Sequence[int]
    rows: int
    new_tokens: int


def weights_bytes(model: Any) -> int:
    """Bytes of parameters and buffers; shared tensors count once."""
    tensors = {address(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def footprint(loaded: LoadedModel, load: Load, process_bytes: int = 0) -> Footprint | None:
    """The prediction; ``None`` for a decoder whose shapes do not tell what it keeps."""
    model = loaded.model
    layers, head = loaded.family.layers(model), model.get_output_embeddings()
    shape = decoder_shape(layers, head, model.config.get_text_config())
    if shape is None:
        return None
    held = shape.held([count + load.new_tokens for count in load.columns])
    cache = shape.kv_bytes(held, load.rows)
    wide = max(_widths(layers))
    tokens = max(load.columns)
    decoder = tokens * (_HIDDEN * head.in_features + _WIDE * wide)
    if loaded.attn_implementation == "eager":
        decoder += _SCORES * shape.heads * tokens**2
    decoder += head.out_features * (1 if heads_one_token(model) else tokens)
    # While the tower works there is no cache yet, and while the decoder does, no tower's values.
    item = loaded.dtype.itemsize
    peak = max(item * load.rows * decoder, item * load.rows * _tower(loaded, load) - cache)
    return Footprint(
        weights_bytes=weights_bytes(model),
        kv_cache_bytes=cache,
        activation_bytes=load.rows * _given(load, item) + peak,
        process_bytes=process_bytes,
    )


def _given(load: Load, item: int) -> int:
    """Bytes of the tensors of one row on the device."""
    return sum(
        tensor.numel() * (item if _PIXELS in name else tensor.element_size())
        for name, tensor in load.tensors.items()
    )


def _tower(loaded: LoadedModel, load: Load) -> int:
    """Numbers that the tower holds for one row at its widest."""
    pixels = sum(tensor.numel() for name, tensor in load.tensors.items() if _PIXELS in name)
    modules = list(_before_decoder(loaded))
    first = next((m for m in modules if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)), None)
    linear = [module for module in modules if isinstance(module, torch.nn.Linear)]
    if not pixels or not linear:
        return pixels
    patch = linear[0].in_features if first is None else first.weight[0].numel()
    widest = max(linear, key=lambda module: module.out_features)
    alike = [module for module in linear if module.weight.shape == widest.weight.shape]
    # Models that take features of an inner layer are given those of every layer.
    kept = len(alike) + 1 if hasattr(loaded.model.config, "vision_feature_layer") else 0
    each = (_HIDDEN + kept) * widest.in_features + _WIDE * widest.out_features
    return math.ceil(pixels / patch) * each


def _before_decoder(loaded: LoadedModel) -> Iterator[torch.nn.Module]:
    """The vision tower's modules; where a family does not tell it apart, all but the decoder's."""
    tower = loaded.family.vision_tower(loaded.model)
    if tower is not None:
        yield from tower.modules()
        return
    inside = set(loaded.family.decoder(loaded.model).modules())
    yield from (m for m in loaded.family.multimodal(loaded.model).modules() if m not in inside)


def _widths(layers: Sequence[torch.nn.Module]) -> list[int]:
    """Of each layer, the most numbers that one map makes of a token."""
    return [
        max((m.out_features for m in layer.modules() if isinstance(m, torch.nn.Linear)), default=0)
        for layer in layers
    ]
