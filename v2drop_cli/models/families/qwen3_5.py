"""Qwen3.5: tokens and positions as in Qwen3-VL; three of four layers have linear attention.

The same tokens are droppable. There is no DeepStack, so the decoder's input may be shortened too.
A gated delta net folds every token into one state. After a drop it runs over the shortened
sequence: see ``docs/dropping.md``. Its padding is made zero, and its convolution and projections
have no bias, so that what comes before a row's first token leaves no trace.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from v2drop_cli.models.decoders import refuse_folding
from v2drop_cli.models.families.qwen3_vl import QWEN3_VL
from v2drop_cli.models.projections import Projections


def _queries(attention: Any, states: Tensor) -> Tensor:
    """``[H, m, d]``: the projection makes a head's query and its gate, side by side."""
    made = attention.q_proj(states).unflatten(-1, (-1, 2 * attention.head_dim))
    headed: Tensor = attention.q_norm(made[..., : attention.head_dim]).transpose(0, 1)
    return headed


QWEN3_5 = dataclasses.replace(
    QWEN3_VL,
    name="qwen3_5",
    model_types=("qwen3_5",),
    first_droppable_layer=lambda config: 0,
    full_until="",
    refusal=refuse_folding,
    projections=Projections(queries=_queries, refusal=lambda config: None),
)
