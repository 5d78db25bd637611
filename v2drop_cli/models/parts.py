"""Where transformers keeps the parts of a vision-language model, as nearly all families have it."""

from __future__ import annotations

import torch

from v2drop_cli.errors import UnsupportedModelError

# A transformers model or one of its parts; transformers has no useful static types.
Module = torch.nn.Module


def inner_model(model: Module) -> Module:
    """The ``XModel`` inside ``XForConditionalGeneration``, or inside a wrapper around it.

    Raises:
        UnsupportedModelError: there is none.
    """
    for module in model.modules():
        if "language_model" in module._modules:
            return module
    raise UnsupportedModelError(f"{type(model).__name__} holds no language_model")


def language_model(model: Module) -> Module:
    """The decoder under the name that nearly all families give it."""
    decoder: Module = inner_model(model).language_model  # type: ignore[assignment]
    return decoder
