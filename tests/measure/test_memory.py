from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from v2drop_cli.errors import DeviceError
from v2drop_cli.measure.memory import CpuMemory, CudaMemory, FakeMemory, memory_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.records import Memory

MIB = 2**20
GPU = torch.device("cuda", 1)
CPU = torch.device("cpu")

needs_proc = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="no /proc/self/clear_refs"
)


def peak_of_allocating(meter: CpuMemory, size: int) -> int:
    meter.start()
    block = torch.ones(size, dtype=torch.uint8)
    del block
    peak = meter.finish(weights_bytes=None, kv_cache_bytes=None).rss_peak_bytes
    assert peak is not None
    return peak


@needs_proc
def test_peak_rss_sees_an_allocation_and_forgets_it_for_the_next_arm():
    meter = CpuMemory()
    before = peak_of_allocating(meter, 1)
    during = peak_of_allocating(meter, 64 * MIB)
    after = peak_of_allocating(meter, 1)
    assert 60 * MIB < during - before < 96 * MIB
    assert after - before < 16 * MIB
    assert meter.caveats == ()


@needs_proc
def test_cpu_memory_leaves_the_gpu_fields_unknown():
    meter = CpuMemory()
    meter.start()
    memory = meter.finish(weights_bytes=7, kv_cache_bytes=None)
    assert memory == Memory(weights_bytes=7, rss_peak_bytes=memory.rss_peak_bytes)
    assert memory.peak_kind == "process RSS"


@pytest.mark.parametrize("status", [None, "Name:\tpython\nVmRSS:\t 100 kB\n"])
def test_a_peak_that_cannot_be_read_is_none_with_a_reason(tmp_path: Path, status: str | None):
    (tmp_path / "clear_refs").touch()
    if status is not None:
        (tmp_path / "status").write_text(status)
    meter = CpuMemory(tmp_path)
    meter.start()
    assert meter.finish(weights_bytes=1, kv_cache_bytes=2) == Memory(1, 2)
    (caveat,) = meter.caveats
    assert caveat.code == "no-peak-rss"


def test_a_peak_that_cannot_be_reset_is_not_reported(tmp_path: Path):
    (tmp_path / "clear_refs").mkdir()
    (tmp_path / "status").write_text("VmHWM:\t 100 kB\n")
    meter = CpuMemory(tmp_path)
    for _ in range(2):
        meter.start()
        assert meter.finish(weights_bytes=None, kv_cache_bytes=None).rss_peak_bytes is None
    (caveat,) = meter.caveats
    assert "cannot be reset" in caveat.message


def test_the_reset_is_asked_for_in_the_kernels_words(tmp_path: Path):
    (tmp_path / "status").write_text("VmPeak:\t 900 kB\nVmHWM:\t     100 kB\n")
    meter = CpuMemory(tmp_path)
    meter.start()
    assert (tmp_path / "clear_refs").read_text() == "5"
    assert meter.finish(weights_bytes=None, kv_cache_bytes=None).rss_peak_bytes == 102_400


def test_cuda_memory_resets_then_reads_the_peaks_of_its_device(cuda, fake_nvml):
    nvml = Nvml(GPU, library=fake_nvml())
    meter = CudaMemory(GPU, nvml)
    meter.start()
    assert [call for call, _ in cuda.log] == [
        "synchronize",
        "empty_cache",
        "reset_peak_memory_stats",
    ]
    memory = meter.finish(weights_bytes=10, kv_cache_bytes=20)
    assert memory == Memory(10, 20, 300, 400, 1001, rss_peak_bytes=None, activation_bytes=270)
    assert {device for call, device in cuda.log if call != "empty_cache"} == {GPU}
    assert meter.caveats == ()


def test_cuda_memory_goes_on_without_nvml(cuda, fake_nvml):
    broken = CudaMemory(GPU, Nvml(GPU, library=fake_nvml("raising")))
    for meter in (CudaMemory(GPU), broken):
        meter.start()
        memory = meter.finish(weights_bytes=None, kv_cache_bytes=None)
        assert memory == Memory(peak_allocated_bytes=300, peak_reserved_bytes=400)
    assert [caveat.code for caveat in broken.caveats] == ["nvml-used-bytes"]


def test_fake_memory_gives_what_it_was_given():
    meter = FakeMemory([Memory(rss_peak_bytes=100), Memory(peak_allocated_bytes=200)])
    meter.start()
    assert meter.finish(weights_bytes=1, kv_cache_bytes=2) == Memory(1, 2, rss_peak_bytes=100)
    assert meter.finish(weights_bytes=3, kv_cache_bytes=None) == Memory(3, None, 200)
    assert (meter.starts, meter.caveats) == (1, ())
    with pytest.raises(RuntimeError, match="no reading left"):
        meter.finish(weights_bytes=None, kv_cache_bytes=None)


def test_memory_for_each_device(cuda):
    assert isinstance(memory_for(CPU), CpuMemory)
    assert isinstance(memory_for(GPU), CudaMemory)
    with pytest.raises(DeviceError, match="'mps'"):
        memory_for(torch.device("mps"))
