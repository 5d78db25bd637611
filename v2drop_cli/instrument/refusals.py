"""Ways of running a model in which its hooks would not be seen, or be seen twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from v2drop_cli.errors import InstrumentError


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
