"""A CUDA and an NVML that exist nowhere, for machines without either."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

UUIDS = ("aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-1111-1111-1111-111111111111")


class FakeCuda:
    """Two devices whose time passes only when told to; every call is logged."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.log: list[tuple[str, Any]] = []
        self.visible = list(UUIDS)
        self.reserved = 0
        cuda = self

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing
                cuda.log.append(("event", None))
                self.at_ms: float | None = None

            def record(self, stream: str) -> None:
                cuda.log.append(("record", stream))
                self.at_ms = cuda.now_ms

            def elapsed_time(self, end: Event) -> float:
                assert cuda.synchronised, "elapsed_time before the device was waited for"
                return end.at_ms - self.at_ms

        self.Event = Event

    @property
    def synchronised(self) -> bool:
        waits = [call for call, _ in self.log if call in ("record", "synchronize")]
        return waits[-1] == "synchronize"

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.log if name == call)

    def _logged(self, name: str, answer: Callable[[Any], Any] = lambda _: None) -> Any:
        def call(device: Any = None) -> Any:
            self.log.append((name, device))
            return answer(device)

        return call

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def properties(device: torch.device) -> SimpleNamespace:
            index = device.index or 0
            return SimpleNamespace(uuid=self.visible[index], total_memory=80 * 2**30)

        for name, value in {
            "Event": self.Event,
            "current_stream": lambda device: f"stream of {device}",
            "synchronize": self._logged("synchronize"),
            "empty_cache": self._logged("empty_cache"),
            "reset_peak_memory_stats": self._logged("reset_peak_memory_stats"),
            "max_memory_allocated": self._logged("max_memory_allocated", lambda _: 300),
            "max_memory_reserved": self._logged("max_memory_reserved", lambda _: 400),
            "memory_reserved": lambda device: self.reserved,
            "is_initialized": lambda: self.reserved > 0,
            "get_device_properties": properties,
            "get_device_name": lambda device: "NVIDIA Fake",
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


class FakeNvml:
    """A pynvml with the two GPUs in its own order; ``fault`` breaks every question."""

    class NVMLError(Exception):
        pass

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.opened = 0
        self.calls: list[str] = []
        self.gpus = {f"GPU-{UUIDS[0]}": 0, f"GPU-{UUIDS[1]}": 1}
        self.pids = [os.getpid(), 1_000_001]
        self.reasons = 0
        self.answers: dict[str, Callable[..., Any]] = {
            "nvmlSystemGetDriverVersion": lambda: "580.65.06",
            "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=1000 + gpu),
            "nvmlDeviceGetClockInfo": lambda gpu, kind: 1980 if kind == 1 else -1,
            "nvmlDeviceGetPowerUsage": lambda gpu: 312_500,
            "nvmlDeviceGetTemperature": lambda gpu, sensor: 61 if sensor == 0 else -1,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: self.reasons,
            "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: 1_234_500,
            "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [
                SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in self.pids
            ],
        }

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fault == "init":
            raise self.NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1
        if self.fault == "shutdown":
            raise self.NVMLError("Uninitialized")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        if uuid not in self.gpus:
            raise self.NVMLError("Not Found")
        return self.gpus[uuid]

    def __getattr__(self, symbol: str) -> Callable[..., Any]:
        if self.fault == "missing" or symbol not in self.answers:
            raise AttributeError(f"no symbol {symbol}")

        def call(*args: Any) -> Any:
            self.calls.append(symbol)
            if self.fault == "raising":
                raise self.NVMLError("Not Supported")
            return None if self.fault == "silent" else self.answers[symbol](*args)

        return call


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def fake_nvml() -> type[FakeNvml]:
    return FakeNvml
