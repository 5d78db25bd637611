"""What the NVIDIA driver knows of one GPU: memory, clocks, power, temperature, energy.

Every question may go unanswered: no library, an old driver, a MIG slice, a container. The
answer is then ``None``, the reason is kept once per question in :attr:`Nvml.caveats`, and the
run goes on. Nothing here changes a setting of the device.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from v2drop_cli.records import Caveat, CaveatKind
from v2drop_cli.units import Bytes, Joules

T = TypeVar("T")

# Constants of NVML's binary interface; spelled out, because not every pynvml names them all.
_CLOCK_SM = 1
_TEMPERATURE_GPU = 0
_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}

SLOWDOWN_REASONS = frozenset(
    {"hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"}
)
"""Event reasons under which a timing says nothing of the method."""

POWER_CAP_REASON = "sw_power_cap"
"""The event reason that deserves a warning, but is the normal state of a busy GPU."""


class Nvml:
    """One CUDA device as the driver sees it.

    Args:
        device: the torch device; its GPU is found by UUID, because ``CUDA_VISIBLE_DEVICES``
            renumbers torch's devices but not NVML's.
        library: the ``pynvml`` module, or a stand-in; imported here when not given.

    """

    def __init__(self, device: torch.device, *, library: Any | None = None) -> None:
        self._device = device
        self._caveats: dict[str, Caveat] = {}
        self._handle: Any | None = None
        self._uuid: str | None = None
        self._library = self._open(library)
        if self._library is not None:
            self._find_handle(self._library)

    @property
    def uuid(self) -> str | None:
        """The UUID the driver answered to, ``GPU-…`` or ``MIG-…``."""
        return self._uuid

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What went unanswered so far and why, once per question."""
        return tuple(self._caveats.values())

    def used_bytes(self) -> Bytes | None:
        """Bytes in use on the device, by all processes and the driver itself."""
        return self._ask_device(
            "used_bytes", lambda info: int(info.used), ("nvmlDeviceGetMemoryInfo",)
        )

    def driver_version(self) -> str | None:
        """Version of the driver, such as ``580.65.06``."""
        return self._ask("driver_version", _text, ("nvmlSystemGetDriverVersion",))

    def sm_clock_mhz(self) -> int | None:
        """Clock of the streaming multiprocessors now, in MHz."""
        return self._ask_device("sm_clock_mhz", int, ("nvmlDeviceGetClockInfo",), _CLOCK_SM)

    def power_w(self) -> float | None:
        """Power draw in watts; on most GPUs an average of the last second."""
        return self._ask_device("power_w", _thousandth, ("nvmlDeviceGetPowerUsage",))

    def temperature_c(self) -> int | None:
        """Temperature of the chip, in degrees Celsius."""
        names = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
        return self._ask_device("temperature_c", int, names, _TEMPERATURE_GPU)

    def event_reasons(self) -> tuple[str, ...] | None:
        """Why the clocks are where they are now; ``()`` when nothing holds them down."""
        names = (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
        )
        return self._ask_device("event_reasons", _reason_names, names)

    def total_energy_j(self) -> Joules | None:
        """Joules since the driver was loaded; ticks about every 100 ms, so take 2 s or more."""
        return self._ask_device(
            "total_energy_j", _thousandth, ("nvmlDeviceGetTotalEnergyConsumption",)
        )

    def other_processes(self) -> int | None:
        """Other processes that compute on this device, or ``None`` where that is hidden."""
        return self._ask_device(
            "other_processes", self._count_others, ("nvmlDeviceGetComputeRunningProcesses",)
        )

    def shutdown(self) -> None:
        """Let go of the library; later questions go unanswered. May be called again."""
        library, self._library, self._handle = self._library, None, None
        if library is None:
            return
        try:
            library.nvmlShutdown()
        except Exception as error:
            self._note("shutdown", _reason(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def _open(self, library: Any | None) -> Any | None:
        try:
            opened = importlib.import_module("pynvml") if library is None else library
            opened.nvmlInit()
        except Exception as error:
            self._note_unavailable(_reason(error))
            return None
        return opened

    def _find_handle(self, library: Any) -> None:
        uuid = device_uuid(self._device)
        if uuid is None:
            # An index would find a GPU, but perhaps not this one.
            self._note_unavailable(f"torch does not tell the UUID of {self._device}")
            return
        failures: list[str] = []
        for candidate in uuid_forms(uuid):
            try:
                self._handle = _call(library, ("nvmlDeviceGetHandleByUUID",), candidate)
            except Exception as error:
                failures.append(_reason(error))
            else:
                self._uuid = candidate
                return
        self._note_unavailable("; ".join(dict.fromkeys(failures)))

    def _ask(
        self, question: str, convert: Callable[[Any], T], symbols: tuple[str, ...], *args: Any
    ) -> T | None:
        """Ask NVML: the one place where it may fail."""
        if self._library is None:
            return None
        try:
            return convert(_call(self._library, symbols, *args))
        except Exception as error:  # besides NVMLError: missing symbols, mismatched structs
            self._note(question, _reason(error))
            return None

    def _ask_device(
        self, question: str, convert: Callable[[Any], T], symbols: tuple[str, ...], *args: Any
    ) -> T | None:
        if self._handle is None:
            return None
        return self._ask(question, convert, symbols, self._handle, *args)

    def _count_others(self, processes: Any) -> int:
        pids = {process.pid for process in processes}
        if os.getpid() in pids:
            return len(pids) - 1
        if not _has_context(self._device):
            return len(pids)
        if not pids:
            raise LookupError("processes are hidden here, this one included")
        # In a container the PIDs are the host's, so ours has another number: one of them is us.
        return len(pids) - 1

    def _note_unavailable(self, reason: str) -> None:
        found = CaveatKind.NVML_UNAVAILABLE.caveat(device=self._device, reason=reason)
        self._caveats.setdefault(found.code, found)

    def _note(self, question: str, reason: str) -> None:
        found = CaveatKind.NVML_SILENT.caveat(
            question=question.replace("_", "-"), asked=question, reason=reason
        )
        self._caveats.setdefault(found.code, found)


def device_uuid(device: torch.device) -> str | None:
    """Return the UUID torch gives for a CUDA device, or ``None`` (a CPU, an older torch)."""
    if device.type != "cuda":
        return None
    try:
        uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    except (AssertionError, RuntimeError):  # no CUDA in this torch, no such device
        return None
    return None if uuid is None else str(uuid)


def uuid_forms(uuid: str) -> tuple[str, ...]:
    """List the forms NVML may know torch's UUID by: torch leaves out the kind of device.

    >>> uuid_forms("5f3c"), uuid_forms("MIG-5f3c")
    (('GPU-5f3c', 'MIG-5f3c'), ('MIG-5f3c',))
    """
    if uuid.startswith(("GPU-", "MIG-")):
        return (uuid,)
    return (f"GPU-{uuid}", f"MIG-{uuid}")


def _call(library: Any, symbols: tuple[str, ...], *args: Any) -> Any:
    """Return the first answer of ``symbols``, which are several names of one function."""
    failures: list[str] = []
    for symbol in symbols:
        try:
            answer = getattr(library, symbol)(*args)
        except Exception as error:
            failures.append(_reason(error))
        else:
            if answer is not None:
                return answer
            failures.append("the driver returned nothing")
    raise LookupError("; ".join(dict.fromkeys(failures)))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _reason_names(bits: int) -> tuple[str, ...]:
    return tuple(
        _REASONS.get(1 << shift, f"unknown_{1 << shift:#x}")
        for shift in range(int(bits).bit_length())
        if bits >> shift & 1
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _thousandth(value: int) -> float:
    return value / 1000


def _has_context(device: torch.device) -> bool:
    # Memory of ours on the device is proof of a context there; torch has no other test for it.
    cuda: Any = torch.cuda  # untyped in torch
    return bool(cuda.is_initialized() and cuda.memory_reserved(device) > 0)
