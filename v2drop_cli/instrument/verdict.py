"""Asking a method, and checking what it says before anything is removed."""

from __future__ import annotations

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.base import DropContext, Kept, Method


def ask(method: Method, ctx: DropContext, hidden: Tensor) -> Kept:
    """The method's verdict for one row, in ascending order, merged states in the model's dtype.

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
    index = kept.index
    right_size = index.dim() == 1 and (len(index) <= n if chooses else len(index) == ctx.n_keep)
    if not right_size or index.dtype != torch.int64:
        asked = f"at most {n}" if chooses else f"{ctx.n_keep} of {n}"
        raise InstrumentError(
            f"{name} kept {index.dtype} {tuple(index.shape)}, asked were {asked}",
            hint="Kept.index is int64 of shape [n_keep]; a score is one number per token; a method "
            "that finds its own number says so with chooses_count",
        )
    index, order = index.to(hidden.device).sort()
    if index.device.type == "cpu" and not _different(index, n):
        raise InstrumentError(f"{name} kept tokens twice, or ones that are not there (of {n})")
    if kept.merged is None:
        return Kept(index)
    if kept.merged.shape != (len(index), hidden.shape[1]):
        raise InstrumentError(
            f"{name} merged into {tuple(kept.merged.shape)}, not {(len(index), hidden.shape[1])}"
        )
    return Kept(index, kept.merged.to(hidden)[order])


def _different(index: Tensor, n: int) -> bool:
    inside = bool((index >= 0).all() and (index < n).all())
    return inside and bool((index.diff() > 0).all())
