"""The bisection against a brute-force search; and which errors mean that a device is full."""

from __future__ import annotations

import weakref
from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.bench.what_fits import Largest, Tried, largest, tried
from v2drop_cli.errors import DeviceMemoryError, InstrumentError


def brute_force(fits, most):
    sizes = [size for size in range(1, most + 1) if fits(size)]
    size = max(sizes, default=None)
    return Largest(size, None if size == most else (size or 0) + 1)


@pytest.mark.parametrize("start", [1, 5, 16, 40])
@pytest.mark.parametrize("holds", range(18))
def test_the_bisection_agrees_with_brute_force(start, holds):
    def fits(size):
        assert 1 <= size <= 16
        return size <= holds

    assert largest(fits, start, most=16) == brute_force(fits, 16)


def test_no_size_is_asked_about_twice_and_few_are():
    asked = []
    largest(lambda size: asked.append(size) or size <= 1000, start=4, most=2**20)
    assert len(asked) == len(set(asked)) <= 20
    assert asked[:10] == [4, 8, 16, 32, 64, 128, 256, 512, 1024, 768]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate\n 2.00 GiB. GPU 0 has 1."
            ),
            "Tried to allocate 2.00 GiB",
        ),
        (DeviceMemoryError("too small. Much."), "too small"),
        (DeviceMemoryError("Full."), "Full"),
        (MemoryError(), "MemoryError"),
        (
            RuntimeError("enforce fail. DefaultCPUAllocator: you tried to allocate 9 bytes. No"),
            "DefaultCPUAllocator: you tried to allocate 9 bytes",
        ),
    ],
)
def test_a_full_device_is_an_answer_of_one_sentence(error, said):
    def work():
        raise error

    found = tried(work)
    assert (found.value, found.out_of_memory) == (None, said)


def test_what_torch_says_of_a_full_cpu_is_one():
    found = tried(lambda: torch.empty(2**60))
    assert "allocate" in found.out_of_memory
    assert tried(lambda: 7) == Tried(7, None)


@pytest.mark.parametrize("error", [RuntimeError("shapes"), InstrumentError("no")])
def test_anything_else_is_not(error):
    def work():
        raise error

    with pytest.raises(type(error)):
        tried(work)


def test_what_filled_the_device_is_let_go():
    """An exception's frames hold the tensors: they are gone when the next size is tried.

    Those of a model hold themselves too, in a circle, until garbage is collected.
    """
    held = []

    def work():
        tensor = torch.zeros(3)
        circle = [tensor]
        circle.append(circle)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("full")

    tried(work)
    assert held[0]() is None


def test_a_gpus_allocator_gives_back_what_is_free(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))

    def work():
        raise torch.OutOfMemoryError("full")

    tried(lambda: 7)
    assert not emptied
    tried(work)
    assert emptied == [1]


def test_what_was_found_stays():
    for found, name in ((Largest(1, 2), "size"), (Tried(7), "value")):
        with pytest.raises(FrozenInstanceError):
            setattr(found, name, None)
