"""Peak memory of one run, on a pass of its own: measuring it slows what it measures.

What the device cannot tell is ``None``, never 0, and a caveat says why. In particular the
peak of ``getrusage`` (``ru_maxrss``) covers the life of the process and can never be reset, so
it is not used: the second arm would inherit the first one's peak.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from v2drop_cli.errors import DeviceError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.records import Caveat, CaveatKind, Memory
from v2drop_cli.units import Bytes

_PROC_SELF = Path("/proc/self")
# "5" resets the peak resident set size to the current one: proc(5), clear_refs, Linux 4.0.
_RESET_PEAK_RSS = "5"


class MemoryMeter(Protocol):
    """Measures the peak memory between ``start`` and ``finish``."""

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What could not be measured so far, and why."""
        ...

    def start(self) -> None:
        """Give back what is not needed, then begin a new peak."""
        ...

    def finish(self, *, weights_bytes: Bytes | None, kv_cache_bytes: Bytes | None) -> Memory:
        """Return the peaks since ``start``, in bytes, and the two parts known from shapes."""
        ...


class CpuMemory:
    """Peak resident set size of this process; Linux only, ``None`` elsewhere.

    Args:
        proc: the process's folder in ``/proc``.

    """

    def __init__(self, proc: Path = _PROC_SELF) -> None:
        self._proc = proc
        self._was_reset = False
        self._caveats: dict[str, Caveat] = {}

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What could not be measured so far, and why."""
        return tuple(self._caveats.values())

    def start(self) -> None:
        """Collect garbage, hand freed memory back to the system, reset the peak."""
        gc.collect()
        _return_freed_memory()
        try:
            (self._proc / "clear_refs").write_text(_RESET_PEAK_RSS)
        except OSError as error:
            self._was_reset = False
            self._note(f"the peak cannot be reset here ({error.strerror or error})")
        else:
            self._was_reset = True

    def finish(self, *, weights_bytes: Bytes | None, kv_cache_bytes: Bytes | None) -> Memory:
        """Return the peak resident set size since ``start``, in bytes; GPU fields are ``None``."""
        return Memory(
            weights_bytes=weights_bytes,
            kv_cache_bytes=kv_cache_bytes,
            rss_peak_bytes=self._peak() if self._was_reset else None,
        )

    def _peak(self) -> Bytes | None:
        try:
            status = (self._proc / "status").read_text()
        except OSError as error:
            self._note(f"the process status cannot be read ({error.strerror or error})")
            return None
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        self._note("this kernel does not tell VmHWM")
        return None

    def _note(self, reason: str) -> None:
        found = CaveatKind.NO_PEAK_RSS.caveat(reason=reason)
        self._caveats.setdefault(found.code, found)


class CudaMemory:
    """Allocator peaks of one CUDA device, and what NVML says is in use on it.

    Args:
        device: the CUDA device.
        nvml: the device's NVML, or ``None`` to go without ``nvml_used_bytes``.

    """

    def __init__(self, device: torch.device, nvml: Nvml | None = None) -> None:
        self._device = device
        self._nvml = nvml

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What NVML could not tell so far, and why."""
        return () if self._nvml is None else self._nvml.caveats

    def start(self) -> None:
        """Collect garbage, empty the allocator's cache, reset its peaks."""
        # In this order: garbage frees blocks, and blocks of queued work cannot be released yet.
        gc.collect()
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    def finish(self, *, weights_bytes: Bytes | None, kv_cache_bytes: Bytes | None) -> Memory:
        """Return the peaks since ``start``, in bytes.

        ``nvml_used_bytes`` is the whole device's use *now* (CUDA context and other processes
        included). The allocator keeps what it reserved, so that is near the peak as well.
        """
        torch.cuda.synchronize(self._device)
        peak = torch.cuda.max_memory_allocated(self._device)
        over = None
        if weights_bytes is not None and kv_cache_bytes is not None:
            over = peak - weights_bytes - kv_cache_bytes
        return Memory(
            weights_bytes=weights_bytes,
            kv_cache_bytes=kv_cache_bytes,
            # Below zero, not all of the weights are on this device: then nothing can be told.
            activation_bytes=None if over is None or over < 0 else over,
            peak_allocated_bytes=peak,
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self._device),
            nvml_used_bytes=None if self._nvml is None else self._nvml.used_bytes(),
        )


class FakeMemory:
    """A meter that is told what it measures, for tests.

    Args:
        readings: each ``finish`` takes the next; its weights and KV cache are the caller's.

    """

    def __init__(self, readings: Iterable[Memory]) -> None:
        self._readings: Iterator[Memory] = iter(readings)
        self.starts = 0

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """None: a fake misses nothing."""
        return ()

    def start(self) -> None:
        """Count the pass."""
        self.starts += 1

    def finish(self, *, weights_bytes: Bytes | None, kv_cache_bytes: Bytes | None) -> Memory:
        """Take the next reading.

        Raises:
            RuntimeError: the readings are used up.

        """
        try:
            reading = next(self._readings)
        except StopIteration:
            raise RuntimeError("the fake memory meter has no reading left") from None
        return replace(reading, weights_bytes=weights_bytes, kv_cache_bytes=kv_cache_bytes)


def memory_for(device: torch.device, nvml: Nvml | None = None) -> MemoryMeter:
    """Return the meter that tells this device's memory.

    Raises:
        DeviceError: a device whose memory nothing here can tell.

    """
    if device.type == "cuda":
        return CudaMemory(device, nvml)
    if device.type == "cpu":
        return CpuMemory()
    raise DeviceError(
        f"cannot measure memory on device {str(device)!r}",
        hint="use --device cuda or --device cpu",
    )


def _return_freed_memory() -> None:
    """Do what ``empty_cache`` does on a GPU: glibc keeps freed blocks, up to 32 MiB, resident.

    Without it the first arm's leftovers would be the floor under the second arm's peak.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        # Another C library (musl, macOS, Windows): nothing to trim, nothing lost.
        return
