"""Layers that scale queries by how far into the sequence they are, told by their cache's length.

Llama 4's layers without rotary tables do (arXiv 2501.19399). A short layer counts too low, and no
argument of its call says otherwise. Its queries come from a linear map, so what that returns is
multiplied here by the factor of the place in the whole sequence over the one that the layer will
use:

    prompt     10 columns, the layer is left with 7, the last one at place 9
    the layer  multiplies that query by its factor of 6
    so before  the query is multiplied by its factor of 9, over its factor of 6
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.instrument.cache import columns_before
from v2drop_cli.instrument.context import DropState
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.hooks import After, Before
from v2drop_cli.models.decoders import query_factor


@dataclass(slots=True)
class _Scale:
    """Of one layer in the running forward.

    Attributes:
        factor: places ``[B or 1, W]`` → what the layer multiplies queries there with.
        ratio: ``[B or 1, W, 1]``, what they are to be multiplied with before; ``None``: nothing.
    """

    factor: Callable[[Tensor], Tensor]
    ratio: Tensor | None = field(default=None)


def temperature_hooks(state: DropState, layers: Sequence[Any]) -> list[Before | After]:
    """Hooks on the layers from the first hooked one on that scale queries so."""
    found: list[Before | After] = []
    for i, layer in enumerate(layers):
        factor = query_factor(layer) if i >= state.first_hooked else None
        if factor is not None:
            scale = _Scale(factor)
            found.append(Before(layer.self_attn, partial(_enter, state, i, scale)))
            found.append(After(layer.self_attn.q_proj, partial(_rescale, scale)))
    return found


def _enter(
    state: DropState, layer: int, scale: _Scale, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Before the attention of ``layer``: compare the places of its columns with its own count."""
    scale.ratio, forward = None, state.forward
    if forward is None:
        return
    cache, hidden = state.call.cache(kwargs), kwargs["hidden_states"]
    before = columns_before(cache, layer, forward.width)
    counted = int(cache.get_seq_length(layer)) if cache is not None else 0
    if forward.columns is None and forward.shift is None and counted == before:
        return
    own = torch.arange(hidden.shape[1], device=hidden.device)[None] + counted
    places = _places(forward, before, own - counted).to(hidden.device)
    scale.ratio = (scale.factor(places) / scale.factor(own))[..., None]


def _places(forward: Forward, before: int, columns: Tensor) -> Tensor:
    """``[B or 1, W]``: where the alive columns are in the sequence, or by their new numbers."""
    if forward.numbers is not None:
        places = forward.numbers
    else:
        places = before + (columns if forward.columns is None else forward.columns.index)
    return places if forward.shift is None else places - forward.shift.to(places.device)[:, None]


def _rescale(scale: _Scale, queries: Tensor) -> Tensor | None:
    """After the map that makes queries ``[B, W, H * d]``."""
    ratio, scale.ratio = scale.ratio, None
    return None if ratio is None else (queries * ratio).to(queries.dtype)
