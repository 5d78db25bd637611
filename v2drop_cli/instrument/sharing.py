"""Layers without keys of their own, which attend to those that an earlier layer made.

In Gemma 4 E2B the last 20 of 35 layers have no keys: one with a window attends to what the last
such layer before them, layer 13, attends to, and a full one to what layer 14 does. Whatever was
dropped before those two has no keys there. So a layer that shares is handed what its source was
handed: the same mask over the same columns, the same rotary tables.

    layers 0-12   10 columns
    layer 13       7 columns   a drop; the last layer with keys that has a window
    layer 14       7 columns   the last one with keys that is full
    layers 15-34   7 columns   masks of layer 13 and 14; when generating, the last column alone

A drop after layer 13 would leave columns in its keys that are gone elsewhere: refused by name.

When the caller wants the logits of the last token only, as ``generate`` does, transformers runs
the sharing layers on that token alone. It takes the last column, so rows with fewer survivors are
filled up on the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.layer_call import LayerCall, as_handed, rotary_tables

_LAST = "logits_to_keep"
_BY_QUERIES = 4  # dimensions of a mask that says of each query what it sees


def shared_call(
    call: LayerCall, forward: Forward, layer: int, hidden: Tensor, kwargs: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Any]] | None:
    """What a layer that shares keys gets instead; ``None`` leaves its call alone.

    Args:
        call: how the decoder calls its layers.
        forward: the running one; its source was entered.
        layer: the one that shares.
        hidden: ``[B, W, D]`` its input, or its last column alone.
        kwargs: what the decoder hands it.
    """
    handed = forward.handed.get(call.sources[layer])
    if handed is None:  # nothing was dropped, here or in an earlier turn
        return None
    width, mask = hidden.shape[1], handed["attention_mask"]
    if isinstance(mask, Tensor) and mask.dim() == _BY_QUERIES:
        mask = mask[:, :, -width:]
    changed = {**kwargs, "attention_mask": mask, "position_ids": handed["position_ids"]}
    if call.turns(handed):
        tables = tuple(table[..., -width:, :] for table in rotary_tables(handed))
        changed["position_embeddings"] = as_handed(tables)
    columns = forward.columns
    if columns is not None and width == columns.width:
        changed.update(call.gathered(forward, kwargs))
    return hidden, changed


def whole_or_last(call: LayerCall, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The decoder's ``arguments`` if it would go on with several of the last columns.

    Those of a shortened layer are not those of the prompt. It then goes on with all that are left,
    and the model takes the wanted ones off its output.
    """
    last = arguments.get(_LAST)
    if not call.sources or not isinstance(last, int) or last in (0, 1):
        return None
    return {**arguments, _LAST: 0}
