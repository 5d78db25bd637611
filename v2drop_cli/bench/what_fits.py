"""The largest size that fits: doubled until one does not, then halved in between. Nothing guessed.

Larger sizes need more memory, so that one which fits says so of all below it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from v2drop_cli.errors import DeviceMemoryError

T = TypeVar("T")

_CPU_ALLOCATOR = "DefaultCPUAllocator"
"""Torch has a class for a GPU that is full, and for a CPU only this name in a ``RuntimeError``."""


@dataclass(frozen=True, slots=True)
class Largest:
    """What a search found.

    Attributes:
        size: the largest that fits; ``None`` where not even 1 does.
        next_size: the smallest that does not; ``None`` where all up to the most do.
    """

    size: int | None
    next_size: int | None


def largest(fits: Callable[[int], bool], start: int, most: int) -> Largest:
    """Search the whole numbers from 1 to ``most``, from ``start`` on.

    >>> largest(lambda size: size <= 37, start=4, most=1000)
    Largest(size=37, next_size=38)
    >>> largest(lambda size: False, start=4, most=9), largest(lambda size: True, start=4, most=9)
    (Largest(size=None, next_size=1), Largest(size=9, next_size=None))
    """
    low, high = 0, min(start, most)
    while fits(high):
        if high == most:
            return Largest(most, None)
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return Largest(low or None, high)


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """What a piece of work gave, or why the device had no room for it."""

    value: T | None
    out_of_memory: str | None = None


def tried(work: Callable[[], T]) -> Tried[T]:
    """Run ``work``; if the device is full, give back what it held.

    Only what says that memory is short is caught. It is cleaned up after the exception is gone,
    because its frames hold the tensors that filled the device.
    """
    try:
        return Tried(work())
    except (torch.OutOfMemoryError, DeviceMemoryError, MemoryError) as error:
        said = _first_sentence(error)
    except RuntimeError as error:
        if _CPU_ALLOCATOR not in str(error):
            raise
        said = _first_sentence(error)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Tried(None, said)


def _first_sentence(error: Exception) -> str:
    """What was asked for, where the message says that; else how it begins."""
    sentences = " ".join(str(error).split()).split(". ")
    asked = [each for each in sentences if "tried to allocate" in each.lower()]
    return (asked or sentences)[0].rstrip(".") or type(error).__name__
