"""Attention masks for shortened layers, made by transformers' own mask functions.

transformers keeps one mask function per attention implementation (eager, sdpa, flex, flash,
or whatever a user registered). Asking it for a mask of the layer's own sizes gives each
kernel the form it expects, with nothing about kernels known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    and_masks,
    blockwise_overlay,
    causal_mask_function,
    create_bidirectional_mask,
    or_masks,
)

from v2drop_cli.errors import InstrumentError
from v2drop_cli.models.decoders import indexed


@dataclass(frozen=True, slots=True)
class View:
    """What a sliding window leaves in view: it counts the places that columns have in the sequence.

    A window of 4, and a layer that was left columns 0, 3, 4 and 5 of a prompt of 6: counted in
    columns, the last one would see all four; it sees 3, 4 and itself, as in the dense model.

    Attributes:
        size: how many columns of the whole sequence are in view, the own one among them.
        places: ``[B, past + W]`` long, which column of the whole sequence each column is; dropped
            ones are counted, and padding.
        cuts_blocks: whether columns of one block see each other within the window only.
        starts: ``[B]`` long, for a layer that attends in chunks of ``size``: the place in each row
            from which they are counted, its first that is no padding. ``None`` for a window.
    """

    size: int
    places: Tensor
    cuts_blocks: bool = True
    starts: Tensor | None = None

    def overlay(self) -> Callable[..., Any]:
        """The window, or the chunks, as a mask function of transformers."""
        places, size = self.places, self.size
        if self.starts is not None:
            chunks = (places - self.starts[:, None]) // size

            def same_chunk(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
                return chunks[batch_idx, kv_idx] == chunks[batch_idx, q_idx]

            return same_chunk

        def inner_mask(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
            return places[batch_idx, kv_idx] > places[batch_idx, q_idx] - size

        return inner_mask


def _who_sees_whom(past: int, blocks: Tensor | None, view: View | None) -> Callable[..., Any]:
    """The mask function of transformers, in this layer's own columns."""
    causal, two_way = causal_mask_function, None
    if blocks is not None:  # cached columns are in no block with new ones
        before = blocks.new_full((len(blocks), past), -1)
        two_way = blockwise_overlay(torch.cat([before, blocks], dim=1) if past else blocks)
    if view is None:
        return causal if two_way is None else or_masks(causal, two_way)
    if two_way is None:
        return and_masks(view.overlay(), causal)
    if view.cuts_blocks:
        return and_masks(view.overlay(), or_masks(causal, two_way))
    return or_masks(and_masks(view.overlay(), causal), two_way)


def causal_mask(
    config: Any,
    hidden: Tensor,
    *,
    past: int,
    valid: Tensor | None,
    blocks: Tensor | None = None,
    view: View | None = None,
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
        view: of a layer with a sliding window that cuts something; else ``None``.

    Returns:
        What the implementation takes: ``None``, a boolean or additive ``[B, 1, W, past + W]``
        mask, the 2-D padding mask (flash), or a block mask (flex). Never ``None`` for a decoder
        with an index, which reads off the mask what it may choose among.
    """
    implementation = config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
        if valid is None and blocks is None and view is None:
            return None
        raise InstrumentError(
            f"attention implementation {implementation!r} has no mask function, and this batch "
            "has rows of different lengths, columns that attend in both directions, or a sliding "
            "window",
            hint="register one with transformers.AttentionMaskInterface, or use batch size 1",
        )
    if view is not None and "flash" in implementation:
        raise InstrumentError(
            f"{implementation} counts a sliding window in columns, and would see past this layer's "
            f"{view.size}",
            hint="use sdpa, or a prompt and answer that fit into the window together",
        )
    batch, width = hidden.shape[:2]
    return ALL_MASK_ATTENTION_FUNCTIONS[implementation](
        batch_size=batch,
        q_length=width,
        kv_length=past + width,
        q_offset=past,
        kv_offset=0,
        mask_function=_who_sees_whom(past, blocks, view),
        attention_mask=valid,
        allow_is_causal_skip=blocks is None and view is None and not indexed(config),
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
