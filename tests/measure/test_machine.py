from __future__ import annotations

from itertools import count

import pytest
import torch

from v2drop_cli.measure.energy import energy_of, idle_power
from v2drop_cli.measure.machine import MachineWatch, read_state
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.records import MachineState

GPU = torch.device("cuda", 0)
POWER_CAP, HW_THERMAL = 0x4, 0x40
NOTHING = MachineState(None, None, None, None, None)


@pytest.fixture
def library(cuda, fake_nvml):
    return fake_nvml()


def test_a_state_is_what_the_driver_says(library):
    state = read_state(Nvml(GPU, library=library))
    assert state == MachineState(1980, 312.5, 61, (), 1)


@pytest.mark.parametrize("fault", ["init", "missing", "raising", "silent"])
def test_a_driver_that_fails_at_anything_is_none_and_never_fatal(cuda, fake_nvml, fault):
    nvml = Nvml(GPU, library=fake_nvml(fault))
    watch = MachineWatch(nvml)
    assert watch.round_is_valid()
    assert watch.states == [NOTHING, NOTHING]
    assert watch.caveats() == ()
    assert nvml.caveats
    assert energy_of(lambda: None, nvml, lambda: None) is None
    assert idle_power(nvml, sleep=lambda seconds: None) is None


def test_a_cpu_has_no_state():
    assert read_state(Nvml(torch.device("cpu"))) == NOTHING


def test_a_slowdown_at_either_end_spoils_a_round(library):
    library.pids = library.pids[:1]
    watch = MachineWatch(Nvml(GPU, library=library))
    verdicts = []
    for reasons in (0, POWER_CAP, HW_THERMAL, 0, 0):
        library.reasons = reasons
        verdicts.append(watch.round_is_valid())
    assert verdicts == [True, True, False, False, True]
    assert watch.slowed_rounds == 2
    assert [caveat.code for caveat in watch.caveats()] == ["gpu-slowed", "gpu-power-cap"]
    assert "2 rounds were dropped" in watch.caveats()[0].message
    assert "hw_thermal_slowdown" in watch.caveats()[0].message


def test_a_shared_gpu_is_told(library):
    [caveat] = MachineWatch(Nvml(GPU, library=library)).caveats()
    assert caveat.code == "gpu-shared"


def test_energy_is_per_request_over_a_window_of_two_seconds(library):
    meter, clock, requests, waits = count(0, 90_000), count(0, 0.25), [], []
    library.answers["nvmlDeviceGetTotalEnergyConsumption"] = lambda gpu: next(meter)
    found = energy_of(
        lambda: requests.append(1),
        Nvml(GPU, library=library),
        lambda: waits.append(1),
        now=lambda: next(clock),
    )
    # 0.25 s a look at the clock: the eighth request ends at 2 s. 90 J in all.
    assert len(requests) == 8
    assert found == 90 / 8
    assert len(waits) == 9


def test_idle_power_is_read_after_a_rest(library):
    rests = []
    assert idle_power(Nvml(GPU, library=library), sleep=rests.append) == 312.5
    assert rests == [1.0]
