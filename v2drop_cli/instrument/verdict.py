"""Asking a method, and checking what it says before anything is removed."""

from __future__ import annotations

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.base import DropContext, Kept, Method

_MERGED = "Kept.sources is int64 [n]: the entry of Kept.index that each token goes into, or -1"


def ask(method: Method, ctx: DropContext, hidden: Tensor) -> Kept:
    """The method's verdict for one row, merged states in the model's dtype.

    In ascending order, unless the method moves tokens (:attr:`Kept.in_order`).

    Nothing here waits for the device: shapes and dtypes are known on the host. Indices are
    read, for range and repetition, only where reading is free.

    Args:
        method: any method, also a user's own.
        ctx: the row.
        hidden: ``[W, D]`` the row's hidden states.

    Raises:
        InstrumentError: the verdict is not so many different tokens out of ``n`` as were asked.
    """
    n, chooses = len(ctx.positions), method.chooses_count
    kept = method.select(ctx)
    name = type(method).__name__
    if not isinstance(kept, Kept):
        raise InstrumentError(f"{name}.select returned {type(kept).__name__}, not Kept")
    _refuse_other_than_tensors(kept, name)
    index = kept.index
    right_size = index.dim() == 1 and (len(index) <= n if chooses else len(index) == ctx.n_keep)
    if not right_size or index.dtype != torch.int64:
        asked = f"at most {n}" if chooses else f"{ctx.n_keep} of {n}"
        raise InstrumentError(
            f"{name} kept {index.dtype} {tuple(index.shape)}, asked were {asked}",
            hint="Kept.index is int64 of shape [n_keep]; a score is one number per token; a method "
            "that finds its own number says so with chooses_count",
        )
    index = index.to(hidden.device)
    ascending, order = index.sort()
    if kept.in_order:
        order = torch.arange(len(index), device=index.device)
    if index.device.type == "cpu" and not _different(ascending, n):
        raise InstrumentError(f"{name} kept tokens twice, or ones that are not there (of {n})")
    if kept.merged is None:
        if kept.sources is not None:
            raise InstrumentError(f"{name} names sources, but merged nothing", hint=_MERGED)
        return Kept(index[order], in_order=kept.in_order)
    if kept.merged.shape != (len(index), hidden.shape[1]):
        raise InstrumentError(
            f"{name} merged into {tuple(kept.merged.shape)}, not {(len(index), hidden.shape[1])}"
        )
    merged = kept.merged.to(hidden)[order]
    sources = _reordered(kept.sources, order, n, name)
    return Kept(index[order], merged, sources, kept.in_order)


def _refuse_other_than_tensors(kept: Kept, name: str) -> None:
    for part, optional in (("index", False), ("merged", True), ("sources", True)):
        value = getattr(kept, part)
        if not (isinstance(value, Tensor) or (optional and value is None)):
            raise InstrumentError(
                f"{name} returned Kept.{part} as {type(value).__name__}, not as a tensor",
                hint="torch.tensor(…) makes one of a list of numbers, torch.stack(…) of tensors",
            )


def _reordered(sources: Tensor | None, order: Tensor, n: int, name: str) -> Tensor | None:
    """``sources`` as entries of the index in its new order; ``order`` was their place before."""
    if sources is None:
        return None
    if sources.shape != (n,) or sources.dtype != torch.int64:
        found = f"{sources.dtype} {tuple(sources.shape)}"
        raise InstrumentError(f"{name} names sources as {found}, not int64 ({n},)", hint=_MERGED)
    sources = sources.to(order.device)
    if sources.device.type == "cpu" and not ((sources >= -1) & (sources < len(order))).all():
        raise InstrumentError(f"{name} merged into a token that does not stay", hint=_MERGED)
    places = torch.empty(len(order) + 1, dtype=torch.int64, device=order.device)
    places[order] = torch.arange(len(order), device=order.device)
    places[-1:].fill_(-1)  # where -1, for none, finds itself
    return places[sources]


def _different(index: Tensor, n: int) -> bool:
    inside = bool((index >= 0).all() and (index < n).all())
    return inside and bool((index.diff() > 0).all())
