"""Single rows of a layer's attention, made again from its input; the kernels are left alone.

The cost of one row of one layer: the keys of all its columns, one query, one row of products. Of
earlier turns the keys are in the cache already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.masks import View
from v2drop_cli.models.projections import Projections, Rope


@dataclass(frozen=True, slots=True)
class Attended:
    """What one layer's attention is made from, in one batch row.

    Attributes:
        module: the layer.
        states: ``[W, D]`` its input.
        rope: ``[W, d]`` twice, the rotary tables of its columns.
        past: ``[G, P, d]`` keys of earlier turns, rotated; ``None`` without any.
        valid: ``[P + W]`` bool, ``None`` where no column is padding or filler.
        blocks: ``[W]`` long, columns that attend to each other in both directions share a number;
            ``-1`` and ``None`` are causal.
        view: what the layer's sliding window leaves in view, with places ``[1, P + W]``; ``None``
            where it cuts nothing.
    """

    module: Any
    states: Tensor
    rope: Rope
    past: Tensor | None
    valid: Tensor | None
    blocks: Tensor | None
    view: View | None = None

    def keys(self, how: Projections) -> Tensor:
        """``[G, W, d]`` keys of all columns, rotated."""
        attention = how.attention(self.module)
        made = how.keys(attention, how.norm(self.module)(self.states))
        return how.settle(attention, how.rotate(attention, made, self.rope), "k")

    def rows(self, how: Projections, columns: Tensor) -> Tensor:
        """``[H, r, W]``: how much the rows ``columns`` attend to each column of this forward."""
        attention = how.attention(self.module)
        asked = how.queries(attention, how.norm(self.module)(self.states[columns]))
        cos, sin = (table.index_select(-2, columns) for table in self.rope)
        asked = how.settle(attention, how.rotate(attention, asked, (cos, sin)), "q")
        keys = self.keys(how)
        if self.past is not None:
            keys = torch.cat([self.past.to(keys), keys], dim=1)
        allowed = self._allowed(columns, keys.shape[1])
        return softmax_rows(asked, keys, how.scaling(attention), allowed)[..., -len(self.states) :]

    def _allowed(self, columns: Tensor, total: int) -> Tensor:
        """``[r, P + W]`` bool: what each row may attend to."""
        past = total - len(self.states)
        every = torch.arange(total, device=columns.device)
        allowed = every <= columns[:, None] + past
        near = self._near(columns + past)
        if near is not None:
            allowed &= near
        if self.blocks is not None:
            own = self.blocks[columns, None]
            together = (own == self.blocks) & (own >= 0)
            if near is not None and self.view is not None and self.view.cuts_blocks:
                together &= near[:, past:]
            allowed[:, past:] |= together
        return allowed if self.valid is None else allowed & self.valid.to(allowed.device)

    def _near(self, rows: Tensor) -> Tensor | None:
        """``[r, P + W]`` bool: what is inside the window of ``rows``, counted with the past."""
        if self.view is None:
            return None
        places = self.view.places[0].to(rows.device)
        near: Tensor = places > places[rows, None] - self.view.size
        return near


def beside_weights(module: Any, states: Tensor) -> Tensor:
    """``states`` on the device of ``module``'s weights.

    On a model spread over devices it may have been made elsewhere. Weights that are fetched for
    each call have no device until then, and come to the states.
    """
    devices = {weight.device for weight in module.parameters()} - {torch.device("meta")}
    return states.to(next(iter(devices), states.device))


def unturned(config: Any, states: Tensor) -> Rope:
    """Tables that turn nothing, for the columns ``states [W, D]`` of a layer that has none."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return states.new_ones(len(states), size), states.new_zeros(len(states), size)


def row_of(table: Tensor, row: int) -> Tensor:
    """One row of a rotary table ``[…, B or 1, W, d]``."""
    return table.select(-3, row if table.shape[-3] > 1 else 0)


def softmax_rows(asked: Tensor, keys: Tensor, scaling: float, allowed: Tensor | None) -> Tensor:
    """``[H, r, m]`` attention of queries ``[H, r, d]`` to keys ``[G, m, d]``, in float32."""
    heads, rows, size = asked.shape
    grouped = asked.float().view(len(keys), heads // len(keys), rows, size)
    products = (grouped @ keys.float()[:, None].transpose(-1, -2)) * scaling
    if allowed is not None:
        products = products.masked_fill(~allowed, float("-inf"))
    attended: Tensor = products.softmax(dim=-1).flatten(0, 1)
    return attended


def past_keys(cache: Any, layer: int, b: int, past: int) -> Tensor | None:
    """Keys of earlier turns that ``cache`` holds for row ``b`` of ``layer``: ``[G, past, d]``.

    Raises:
        InstrumentError: this kind of cache does not show its keys.
    """
    if not past:
        return None
    held = cache.layers[layer]
    keys = getattr(held, "keys", None)
    # A sliding cache may have thrown the first ones away.
    least = max(past, getattr(held, "cumulative_length", 0))
    if not isinstance(keys, Tensor) or keys.dim() != 4 or keys.shape[2] < least:
        raise InstrumentError(
            f"the attention of earlier turns cannot be read from a {type(cache).__name__}",
            hint="use the default dynamic cache, or a method that needs no attention",
        )
    return keys[b, :, :past]
