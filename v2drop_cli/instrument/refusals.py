"""Ways of running a model that would go wrong, or silently without dropping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.generation.continuous_batching.cache import PagedAttentionCache

from v2drop_cli.errors import InstrumentError

_TEXT_AND_MROPE = 4


def refuse_compiled(*modules: nn.Module) -> None:
    """Raise for modules compiled before: their compiled code does not look at new hooks.

    ``torch.compile`` does not guard on hooks, so dropping would silently never happen.

    Raises:
        InstrumentError: one of them is compiled.
    """
    for module in modules:
        forward = getattr(module, "forward", None)
        if (
            getattr(module, "_compiled_call_impl", None) is not None
            or hasattr(module, "_orig_mod")
            or hasattr(forward, "_torchdynamo_orig_callable")
        ):
            raise InstrumentError(
                f"{type(module).__name__} was compiled before; compiled code does not see hooks",
                hint="pass the uncompiled model, or compile it inside the dropping() context",
            )


def refuse_recomputation(decoder: Any) -> None:
    """Raise if layers will be called again in the backward pass, when nothing is to be dropped.

    Old versions of transformers checkpoint a layer's ``__call__``, hooks included; newer ones
    only its forward, which is fine.

    Raises:
        InstrumentError: training with gradient checkpointing on such a version.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    recomputes = decoder.training and getattr(decoder, "gradient_checkpointing", False)
    if recomputes and torch.is_grad_enabled() and "__call__" in vars(GradientCheckpointingLayer):
        raise InstrumentError(
            "this version of transformers recomputes hooks under gradient checkpointing",
            hint="update transformers, or train without gradient checkpointing",
        )


def refuse_paged(arguments: Mapping[str, Any]) -> None:
    """Raise for a forward of continuous batching: it takes no pixels, so nothing would be dropped.

    Such a forward is known by the type of its cache, which has had several names.

    Args:
        arguments: the model's forward's.

    Raises:
        InstrumentError: the forward came from ``generate_batch``.
    """
    paged = any(isinstance(value, PagedAttentionCache) for value in arguments.values())
    if paged or arguments.get("block_table") is not None:
        raise InstrumentError(
            "continuous batching (a paged cache) takes no pixels; nothing would be dropped",
            hint="use generate() with the default cache",
        )


def refuse_router_logits(arguments: Mapping[str, Any], config: Any) -> None:
    """Raise for a forward that keeps what experts' routers said, for a loss over all tokens.

    Layers after a drop route the survivors alone: the auxiliary loss would be another one, or
    fail on the attention mask of the whole prompt.

    Args:
        arguments: the model's forward's.
        config: the decoder's.

    Raises:
        InstrumentError: router logits are asked for, here or in the configuration.
    """
    asked = arguments.get("output_router_logits")
    if asked or (asked is None and getattr(config, "output_router_logits", False)):
        raise InstrumentError(
            "output_router_logits: routers see no dropped tokens, so the auxiliary loss of a "
            "mixture of experts cannot be had",
            hint="pass output_router_logits=False",
        )


def refuse_packed(arguments: Mapping[str, Any], implementation: str) -> None:
    """Raise for several sequences packed into one row whose tokens may be dropped.

    Such a row is told by the lengths of its sequences, or by positions that start again, which
    transformers looks at only if there is no attention mask, or flash finds that it masks nothing.
    Neither is made for short layers. Called before the forward has work queued on a device,
    because it may read positions back.

    Args:
        arguments: the model's forward's.
        implementation: the decoder's attention.

    Raises:
        InstrumentError: the batch is packed.
    """
    packed = arguments.get("cu_seq_lens_q") is not None
    at = arguments.get("position_ids")
    if isinstance(at, Tensor) and at.dim() == 3:  # M-RoPE: three axes, or text's before them
        at = at[0] if len(at) == _TEXT_AND_MROPE else None
    mask = arguments.get("attention_mask")
    if isinstance(at, Tensor) and len(at) == 1:
        idle = mask is None or ("flash" in implementation and bool((mask != 0).all()))
        packed = packed or (idle and bool((at.diff() != 1).any()))
    if packed:
        raise InstrumentError(
            "several sequences are packed into one row, and its tokens cannot be dropped",
            hint="pass them as the rows of a padded batch, with their attention mask",
        )
