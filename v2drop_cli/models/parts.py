"""The parts of a transformers model, by the names that nearly all families give them."""

from __future__ import annotations

from torch.nn import Module

from v2drop_cli.errors import UnsupportedModelError


def inner_model(model: Module) -> Module:
    """The ``XModel`` inside ``XForConditionalGeneration``, or inside a wrapper around it.

    Raises:
        UnsupportedModelError: there is none.
    """
    for module in model.modules():
        if "language_model" in module._modules:
            return module
    raise UnsupportedModelError(f"{type(model).__name__} holds no language_model")


def language_head(model: Module) -> Module | None:
    """What makes logits of the decoder's output, where it is known.

    Some models hold a whole language model, head and all, and say that they have none.
    """
    found = model.get_output_embeddings()  # type: ignore[operator]
    if found is None:
        found = getattr(language_model(model), "lm_head", None)
    head: Module | None = found
    return head


def final_norm(decoder: Module) -> Module | None:
    """The norm before the head; ``None`` where nobody knows it, or it norms what streams became."""
    if "hc_head" in decoder._modules:
        return None
    parts = (decoder._modules.get(name) for name in ("norm", "final_layernorm", "norm_f"))
    return next((part for part in parts if part is not None), None)


def language_model(model: Module) -> Module:
    """The decoder of ``model``."""
    decoder: Module = inner_model(model).language_model  # type: ignore[assignment]
    return decoder
