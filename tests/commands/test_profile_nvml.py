"""Whole profiles on a GPU that is a fake, with an NVML that fails at any of its calls.

The model runs on the CPU; everything that asks torch.cuda or NVML gets the fakes' answers.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.checkpoints import save_checkpoint
from tests.commands.test_profile import options
from tests.measure.conftest import FakeCuda, FakeNvml
from v2drop_cli import load
from v2drop_cli.bench import passes
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.commands.profile import profile
from v2drop_cli.generate import decoding
from v2drop_cli.measure import energy, environment
from v2drop_cli.media import load_image
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.records import MachineState, Memory, Report
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.terminal import render

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
ENVIRONMENT = ("gpu_uuid", "driver", "sm_clock_mhz", "temperature_c")


class FailsAt(FakeNvml):
    """An NVML whose calls fail from the one numbered `first` on, or only that one."""

    def __init__(self, first=None, *, how="raises", once=False):
        super().__init__()
        self.first, self.how, self.once, self.asked = first, how, once, 0

    def _answer(self, answer):
        number, self.asked = self.asked, self.asked + 1
        failing = number == self.first if self.once else number >= (self.first or 0)
        if self.first is None or not failing:
            return answer()
        if self.how == "raises":
            raise self.NVMLError("GPU is lost")
        if self.how == "crashes":
            raise OSError("driver/library version mismatch")
        return None

    def nvmlInit(self):  # noqa: N802
        return self._answer(super().nvmlInit)

    def nvmlShutdown(self):  # noqa: N802
        return self._answer(super().nvmlShutdown)

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return self._answer(lambda: FakeNvml.nvmlDeviceGetHandleByUUID(self, uuid))

    def __getattr__(self, symbol):
        call = super().__getattr__(symbol)
        return lambda *args: self._answer(lambda: call(*args))


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"), 2)), device="cpu")


@pytest.fixture
def measured(on_cpu, monkeypatch):
    """A whole profile with the given NVML; trials are told, nothing else is left out."""
    FakeCuda().install(monkeypatch)
    moved = Inputs.to
    cpu = torch.device("cpu")
    monkeypatch.setattr(Inputs, "to", lambda self, device, dtype: moved(self, cpu, dtype))
    monkeypatch.setattr(energy, "WINDOW_S", 0.0)
    monkeypatch.setattr(energy, "_SETTLE_S", 0.0)
    # Nothing of what takes time and asks neither torch.cuda nor NVML.
    monkeypatch.setattr(gc, "collect", lambda *_: 0)
    monkeypatch.setattr(environment, "_commit", lambda: None)
    nowhere = SimpleNamespace(to=lambda device: None)
    monkeypatch.setattr(decoding, "next_positions", lambda *_: nowhere)
    monkeypatch.setattr(decoding, "greedy", lambda *_: iter(()))
    monkeypatch.setattr(
        passes.Passes, "time", lambda *_: StageTimes(0.5, 0.25, 4.0, 0.125, 5.0, 5.0)
    )
    loaded = replace(on_cpu, device=torch.device("cuda", 0))

    def measure(library) -> Report:
        monkeypatch.setitem(sys.modules, "pynvml", library)
        return profile(loaded, [load_image(CAT)], options(with_random=False))

    return measure


def told(report: Report) -> dict[str, object]:
    """Everything in a report that NVML had to be asked for."""
    found = {name: report.environment[name] for name in ENVIRONMENT}
    found["idle_power_w"] = report.protocol.idle_power_w
    for arm in report.arms:
        found[f"energy of {arm.label}"] = arm.energy_j
        found[f"used by {arm.label}"] = arm.memory.nvml_used_bytes
    for number, state in enumerate(report.protocol.machine):
        found |= {f"{field.name} {number}": getattr(state, field.name) for field in fields(state)}
    return found


def check(report: Report, whole: dict[str, object]) -> dict[str, object]:
    """The measurement is complete, and a warning says so where an answer of NVML is missing."""
    assert (report.protocol.rounds, report.protocol.stopped_by) == (5, "precision")
    assert report.comparisons[0].prefill_speedup.median == 1.0
    assert report.arms[0].memory.peak_allocated_bytes == 300  # torch's own, not NVML's
    assert '"schema"' in report.dumps()
    build_view(report)
    found = told(report)
    missing = [name for name, value in whole.items() if value is not None and found[name] is None]
    # torch knows the UUID as well, without NVML's prefix.
    assert found["gpu_uuid"] is not None
    warned = [caveat for caveat in report.warnings if caveat.code.startswith("nvml-")]
    assert bool(missing) <= bool(warned), missing
    return found


def test_a_driver_that_answers_everything_is_believed(measured):
    report = measured(FailsAt())
    found = check(report, {})
    assert all(value is not None for value in found.values()), found
    assert found["driver"] == "580.65.06"
    assert report.protocol.machine[0] == MachineState(1980, 312.5, 61, (), 1)
    assert [caveat.code for caveat in report.warnings] == ["gpu-shared"]


@pytest.mark.slow
@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("how", ["raises", "crashes", "returns nothing"])
def test_nvml_may_fail_at_any_call(measured, how, once):
    library = FailsAt()
    whole = told(measured(library))
    calls = library.asked
    assert calls > 30
    for first in range(calls):
        check(measured(FailsAt(first, how=how, once=once)), whole)


def nothing_of_nvml(report: Report) -> None:
    found = told(report)
    uuid = found.pop("gpu_uuid")
    assert not uuid.startswith("GPU-")  # torch's
    assert set(found.values()) == {None}
    assert report.arms[0].memory == Memory(
        weights_bytes=report.arms[0].memory.weights_bytes,
        kv_cache_bytes=report.arms[0].memory.kv_cache_bytes,
        peak_allocated_bytes=300,
        peak_reserved_bytes=400,
    )
    [caveat] = [item for item in report.warnings if item.code.startswith("nvml-")]
    assert caveat.code == "nvml-unavailable"


def test_no_pynvml_is_one_warning_in_the_report(measured):
    nothing_of_nvml(measured(None))


def test_no_driver_is_one_warning_in_the_report_and_on_screen(measured):
    import io

    from rich.console import Console

    report = measured(FakeNvml("init"))
    nothing_of_nvml(report)
    screen = io.StringIO()
    render(build_view(report), Console(file=screen, width=200))
    assert "NVML cannot be asked about cuda:0: Driver Not Loaded" in screen.getvalue()


def test_an_nvml_that_has_no_answer_to_anything_names_each_question(measured):
    report = measured(FakeNvml("silent"))
    found = told(report)
    assert {name for name, value in found.items() if value is not None} == {"gpu_uuid"}
    codes = {caveat.code for caveat in report.warnings}
    assert {
        "nvml-used-bytes", "nvml-driver-version", "nvml-sm-clock-mhz", "nvml-power-w",
        "nvml-temperature-c", "nvml-event-reasons", "nvml-total-energy-j", "nvml-other-processes",
    } <= codes  # fmt: skip
