"""The bisection against a brute-force search; and which errors mean that a device is full."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from v2drop_cli.bench.what_fits import Largest, largest, tried
from v2drop_cli.errors import DeviceMemoryError, InstrumentError


def brute_force(fits, most):
    sizes = [size for size in range(1, most + 1) if fits(size)]
    size = max(sizes, default=None)
    return Largest(size, None if size == most else (size or 0) + 1)


@pytest.mark.parametrize("start", [1, 5, 16, 40])
@pytest.mark.parametrize("holds", range(18))
def test_the_bisection_agrees_with_brute_force(start, holds):
    def fits(size):
        return size <= holds

    assert largest(fits, start, most=16) == brute_force(fits, 16)


def test_no_size_is_asked_about_twice_and_few_are():
    asked = []
    largest(lambda size: asked.append(size) or size <= 1000, start=4, most=2**20)
    assert len(asked) == len(set(asked)) <= 20


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 GiB."),
        DeviceMemoryError("too small"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_device_is_an_answer(error):
    def work():
        raise error

    found = tried(work)
    assert found.value is None
    assert found.out_of_memory
    assert "\n" not in found.out_of_memory


def test_what_torch_says_of_a_full_cpu_is_one():
    found = tried(lambda: torch.empty(2**60))
    assert found.out_of_memory
    assert tried(lambda: 7).value == 7


@pytest.mark.parametrize("error", [RuntimeError("shapes"), InstrumentError("no")])
def test_anything_else_is_not(error):
    def work():
        raise error

    with pytest.raises(type(error)):
        tried(work)


def test_what_filled_the_device_is_let_go():
    """An exception's frames hold the tensors: they are gone when the next size is tried."""
    held = []

    def work():
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("full")

    tried(work)
    gc.collect()
    assert held[0]() is None
