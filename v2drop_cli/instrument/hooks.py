"""The only place that registers hooks, and that takes every one of them off again.

A hook acts on the module it was registered on, and on no other: ``copy.deepcopy`` and pickling
copy a module's hooks with it, and ``DataParallel`` runs replicas that share them. Copies get hooks
that do nothing, and drop nothing; a replica is refused, because it would share the bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from v2drop_cli.errors import InstrumentError

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
        before = _BeforeCall(item.module, item.hook)
        return item.module.register_forward_pre_hook(before, with_kwargs=True)
    after = _AfterCall(item.module, item.hook)
    return item.module.register_forward_hook(after, always_call=item.always)


class _HookCall:
    """A hook as torch calls it; ours can be told from other people's, see :func:`is_hooked`."""

    def __init__(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        self.module, self.hook = module, hook

    def __reduce__(self) -> tuple[type[_Inert], tuple[()]]:
        """What a copy of the module gets in this hook's place."""
        return _Inert, ()


class _BeforeCall(_HookCall):
    # Dynamo must not trace hooks: it would guard on all of a context's bookkeeping, and compile
    # every layer again, until it gives up.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        if module is not self.module:
            raise InstrumentError(
                f"a replica of {type(module).__name__} is called inside a dropping() context",
                hint="DataParallel is not served: one dropping() context for each model",
            )
        changed: Call | None = self.hook(args, kwargs)
        return changed


class _AfterCall(_HookCall):
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        # A replica was refused before its forward; this runs all the same, if always called.
        return self.hook(output) if module is self.module else None


class _Inert:
    """What becomes of a hook when its module is copied: nothing is done."""

    def __call__(self, *args: Any) -> None:
        """Leave the call, or the output, as it is."""


def is_hooked(module: nn.Module) -> bool:
    """Whether a hook of this package sits before ``module``'s forward."""
    return any(isinstance(hook, _BeforeCall) for hook in module._forward_pre_hooks.values())
