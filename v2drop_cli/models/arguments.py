"""What transformers calls the KV cache: the argument was renamed in 5.24.

    up to 5.23   model(past_key_values=cache)   its layers are handed past_key_values=cache
    from 5.24    model(cache=cache)             its layers are handed cache=cache

From 5.24 on a caller may still use the old name: the model renames it, with a warning.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import nn
from transformers import Cache

from v2drop_cli.errors import InstrumentError

CACHE = "cache"
_OLD_CACHE = "past_key_values"


def cache_name(module: nn.Module) -> str:
    """What ``module``'s forward calls its KV cache: ``cache`` or ``past_key_values``.

    Raises:
        InstrumentError: its forward has neither.
    """
    names = parameters_of(type(module).forward)
    for name in (CACHE, _OLD_CACHE):
        if name in names:
            return name
    raise InstrumentError(
        f"{type(module).__name__}.forward takes no KV cache under a name that v2drop knows",
        hint="v2drop doctor says which transformers are tested; install one of them",
    )


@functools.cache
def parameters_of(forward: Callable[..., Any]) -> frozenset[str]:
    """The parameters that ``forward``, the function of a class, names."""
    return frozenset(signature(forward).parameters)


def heads_one_token(model: nn.Module) -> bool:
    """Whether its forward can run the language head on a row's last token alone.

    It may hand the argument on, unnamed, to a whole language model that it holds.
    """
    inside = model._modules.get("language_model")
    forwards = [type(module).forward for module in (model, inside) if module is not None]
    return any("logits_to_keep" in parameters_of(forward) for forward in forwards)


def cache_of(module: nn.Module, arguments: Mapping[str, Any]) -> Any:
    """The KV cache among the ``arguments`` of ``module``'s forward, or ``None``.

    Raises:
        InstrumentError: a cache came under a name that this forward does not read.
    """
    name = cache_name(module)
    if name not in arguments and name == CACHE:
        name = _OLD_CACHE
    for other, value in arguments.items():
        if isinstance(value, Cache) and other != name:
            raise InstrumentError(
                f"a KV cache was passed as {other}, which this transformers does not read",
                hint=f"pass it as {cache_name(module)}",
            )
    return arguments.get(name)
