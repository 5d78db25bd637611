"""The only place that registers hooks, and that takes every one of them off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

# (args, kwargs) of a forward call → the ones to use instead, or None to leave them.
Call = tuple[tuple[Any, ...], dict[str, Any]]
PreHook = Callable[[tuple[Any, ...], dict[str, Any]], Call | None]
PostHook = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Before:
    """Run ``hook`` before ``module``'s forward."""

    module: nn.Module
    hook: PreHook


@dataclass(frozen=True, slots=True)
class After:
    """Run ``hook`` on ``module``'s output; what it returns replaces it, unless ``None``.

    With ``always``, also when the forward raises; the output is then ``None``.
    """

    module: nn.Module
    hook: PostHook
    always: bool = False


@contextmanager
def hooked(*hooks: Before | After) -> Iterator[None]:
    """Hook the modules for the duration; off on exit, whatever happens inside."""
    with ExitStack() as stack:
        for item in hooks:
            stack.callback(_register(item).remove)
        yield


def _register(item: Before | After) -> Any:
    if isinstance(item, Before):
        return item.module.register_forward_pre_hook(_PreHookCall(item.hook), with_kwargs=True)
    after = item.hook
    return item.module.register_forward_hook(
        lambda module, args, output: after(output), always_call=item.always
    )


class _PreHookCall:
    """A pre-hook that can be told from other people's: see :func:`is_hooked`."""

    def __init__(self, hook: PreHook) -> None:
        self.hook = hook

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        return self.hook(args, kwargs)


def is_hooked(module: nn.Module) -> bool:
    """Whether a hook of this package sits before ``module``'s forward."""
    return any(isinstance(hook, _PreHookCall) for hook in module._forward_pre_hooks.values())
