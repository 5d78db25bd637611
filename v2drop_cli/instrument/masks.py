"""Attention masks for shortened layers, made by transformers' own mask functions.

transformers keeps one mask function per attention implementation (eager, sdpa, flex, flash,
or whatever a user registered). Asking it for a mask of the layer's own sizes gives each
kernel the form it expects, with nothing about kernels known here.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    blockwise_overlay,
    causal_mask_function,
    create_bidirectional_mask,
    or_masks,
)

from v2drop_cli.errors import InstrumentError


def causal_mask(
    config: Any, hidden: Tensor, *, past: int, valid: Tensor | None, blocks: Tensor | None = None
) -> Any:
    """The mask for ``hidden`` attending to ``past`` cached columns and, causally, itself.

    Columns are in sequence order, so causal over columns is causal over original positions.

    Args:
        config: the decoder's config; its attention implementation decides the form.
        hidden: ``[B, W, D]`` input of the layer.
        past: columns in this layer's cache.
        valid: ``[B, past + W]`` bool, or ``None`` when no column is padding or filler; then
            the fast, mask-free path of the kernel stays open.
        blocks: ``[B, W]`` long, columns that attend to each other in both directions share a
            number, ``-1`` is causal; ``None`` when all are.

    Returns:
        What the implementation takes: ``None``, a boolean or additive ``[B, 1, W, past + W]``
        mask, the 2-D padding mask (flash), or a block mask (flex).
    """
    implementation = config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
        if valid is None and blocks is None:
            return None
        raise InstrumentError(
            f"attention implementation {implementation!r} has no mask function, and this batch "
            "has rows of different lengths, or columns that attend in both directions",
            hint="register one with transformers.AttentionMaskInterface, or use batch size 1",
        )
    function = causal_mask_function
    if blocks is not None:
        function = or_masks(function, blockwise_overlay(blocks))
    batch, width = hidden.shape[:2]
    return ALL_MASK_ATTENTION_FUNCTIONS[implementation](
        batch_size=batch,
        q_length=width,
        kv_length=past + width,
        q_offset=past,
        kv_offset=0,
        mask_function=function,
        attention_mask=valid,
        allow_is_causal_skip=blocks is None,
        dtype=hidden.dtype,
        config=config,
        use_vmap=False,
        device=hidden.device,
    )


def padding_mask(config: Any, hidden: Tensor, valid: Tensor) -> Any:
    """The mask for ``hidden [B, W, D]`` attending to itself both ways, but not to filler.

    Args:
        config: of the model that it is for, a vision tower, say.
        hidden: input of the layer.
        valid: ``[B, W]`` bool, false for filler.
    """
    return create_bidirectional_mask(config=config, inputs_embeds=hidden, attention_mask=valid)
