"""Greedy generation as a plain loop: one model call a token, nothing that waits in between.

``model.generate`` is for answers; this is for measuring. It yields token tensors without
reading them, so the device is never waited for inside the loop, and leaves out ``generate``'s
per-call set-up, which on a GPU takes as long as a small model's step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def drop_idle_mask(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out an ``attention_mask`` without padding: reading it back every step would wait.

    Call it before the clock starts, because it reads the mask once.
    """
    mask = tensors.get("attention_mask")
    idle = mask is not None and bool(mask.all())
    return {name: t for name, t in tensors.items() if not (idle and name == "attention_mask")}


def greedy(
    model: Any, tensors: Mapping[str, Tensor], cache: Any, max_new_tokens: int
) -> Iterator[Tensor]:
    """Yield the greedy continuation, one ``[B]`` tensor of token ids a step, never stopping early.

    Args:
        model: a transformers model with a language head.
        tensors: the processor's tensors, ``input_ids [B, L]`` among them. With padding, an
            ``attention_mask [B, L]``, and the padding on the left.
        cache: an empty KV cache; holds prompt and tokens afterwards.
        max_new_tokens: how many tokens to yield.
    """
    mask, explicit = tensors.get("attention_mask"), {}
    if mask is not None:
        # With padding, positions count tokens, not columns; the model knows how many axes (M-RoPE
        # has three). Without, it makes them itself.
        others = {name: tensor for name, tensor in tensors.items() if name != "input_ids"}
        prepare = model._prepare_position_ids_for_generation
        explicit = {"position_ids": prepare(tensors["input_ids"], others)}
    with torch.no_grad():
        out = model(**tensors, **explicit, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1)
        yield token
        for _ in range(max_new_tokens - 1):
            step: dict[str, Tensor] = {}
            if mask is not None:
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
                explicit = {"position_ids": explicit["position_ids"][..., -1:] + 1}
                step = {"attention_mask": mask, **explicit}
            out = model(
                input_ids=token[:, None],
                **step,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            token = out.logits[:, -1].argmax(-1)
            yield token
