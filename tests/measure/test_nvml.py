from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.measure.nvml import (
    POWER_CAP_REASON,
    SLOWDOWN_REASONS,
    Nvml,
    device_uuid,
    uuid_forms,
)

GPU = torch.device("cuda", 0)
ANSWERS = {
    "used_bytes": 1000,
    "driver_version": "580.65.06",
    "sm_clock_mhz": 1980,
    "power_w": 312.5,
    "temperature_c": 61,
    "event_reasons": (),
    "total_energy_j": 1234.5,
    "other_processes": 1,
}


def ask_everything(nvml: Nvml) -> dict[str, object]:
    return {question: getattr(nvml, question)() for question in ANSWERS}


def test_every_question_has_its_unit(cuda, fake_nvml):
    nvml = Nvml(GPU, library=fake_nvml())
    assert ask_everything(nvml) == ANSWERS
    assert nvml.caveats == ()


def test_the_gpu_is_found_by_uuid_whatever_cuda_visible_devices_says(cuda, fake_nvml):
    cuda.visible.reverse()
    first, second = (Nvml(torch.device("cuda", i), library=fake_nvml()) for i in (0, 1))
    assert (first.used_bytes(), second.used_bytes()) == (1001, 1000)
    assert first.uuid.startswith("GPU-bbbbbbbb")


def test_a_mig_slice_is_found_and_says_what_it_cannot_tell(cuda, fake_nvml):
    library = fake_nvml()
    library.gpus = {f"MIG-{cuda.visible[0]}": 5}
    del library.answers["nvmlDeviceGetPowerUsage"]
    nvml = Nvml(GPU, library=library)
    assert nvml.uuid == f"MIG-{cuda.visible[0]}"
    assert nvml.used_bytes() == 1005
    assert nvml.power_w() is None
    assert [caveat.code for caveat in nvml.caveats] == ["nvml-power-w"]


def test_uuid_forms():
    assert uuid_forms("5f3c") == ("GPU-5f3c", "MIG-5f3c")
    assert uuid_forms("GPU-5f3c") == ("GPU-5f3c",)
    assert uuid_forms("MIG-GPU-5f3c/1/0") == ("MIG-GPU-5f3c/1/0",)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("raising", "Not Supported"), ("silent", "returned nothing"), ("missing", "no symbol")],
)
def test_every_failure_is_none_with_one_caveat_a_question(cuda, fake_nvml, fault, reason):
    nvml = Nvml(GPU, library=fake_nvml(fault))
    for _ in range(3):
        assert ask_everything(nvml) == dict.fromkeys(ANSWERS)
    codes = [caveat.code for caveat in nvml.caveats]
    assert codes == [f"nvml-{question.replace('_', '-')}" for question in ANSWERS]
    assert all(reason in caveat.message for caveat in nvml.caveats)
    nvml.shutdown()


# Answers of drivers that work by half: (what fails, how) → what is None then, with a reason each.
HALF = {
    "a GB10 or a MIG slice": (
        ("MemoryInfo", "PowerUsage", "ClockInfo", "TotalEnergyConsumption"),
        "Not Supported",
        {"used_bytes", "power_w", "sm_clock_mhz", "total_energy_j"},
    ),
    "a GPU that is lost": (
        ("MemoryInfo", "DriverVersion", "ComputeRunningProcesses"),
        "GPU is lost",
        {"used_bytes", "driver_version", "other_processes"},
    ),
}


@pytest.mark.parametrize("kind", HALF)
def test_a_driver_that_works_by_half_loses_that_half_alone(cuda, fake_nvml, kind):
    failing, why, lost = HALF[kind]
    library = fake_nvml()

    def fail(*args: object) -> None:
        raise library.NVMLError(why)

    for symbol in library.answers:
        if symbol.endswith(failing):
            library.answers[symbol] = fail
    nvml = Nvml(GPU, library=library)
    told = ask_everything(nvml)
    assert told == {q: None if q in lost else answer for q, answer in ANSWERS.items()}
    codes = {caveat.code: caveat.message for caveat in nvml.caveats}
    assert codes.keys() == {f"nvml-{question.replace('_', '-')}" for question in lost}
    assert all(why in message for message in codes.values())


def test_a_memory_that_is_not_available(cuda, fake_nvml):
    """`nvidia-smi` says N/A: the structure is there, its numbers are not."""
    library = fake_nvml()
    library.answers["nvmlDeviceGetMemoryInfo"] = lambda gpu: SimpleNamespace(used=None)
    nvml = Nvml(GPU, library=library)
    assert nvml.used_bytes() is None
    assert nvml.power_w() == ANSWERS["power_w"]
    assert [caveat.code for caveat in nvml.caveats] == ["nvml-used-bytes"]


@pytest.mark.parametrize("bits", [1 << 63, (1 << 64) - 1])
def test_event_reasons_that_nobody_knows(cuda, fake_nvml, bits):
    library = fake_nvml()
    library.reasons = bits
    found = Nvml(GPU, library=library).event_reasons()
    assert len(found) == bits.bit_count() == len(set(found))
    assert "unknown_0x8000000000000000" in found


def only_caveat(nvml: Nvml) -> str:
    assert ask_everything(nvml) == dict.fromkeys(ANSWERS)
    (caveat,) = nvml.caveats
    assert caveat.code == "nvml-unavailable"
    nvml.shutdown()
    return caveat.message


def test_a_missing_python_module_is_one_caveat(cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pynvml" in only_caveat(Nvml(GPU))


def test_a_missing_driver_is_one_caveat(cuda, fake_nvml):
    assert "Driver Not Loaded" in only_caveat(Nvml(GPU, library=fake_nvml("init")))


def test_an_unknown_gpu_is_one_caveat_and_never_guessed_by_index(cuda, fake_nvml):
    library = fake_nvml()
    library.gpus = {}
    nvml = Nvml(GPU, library=library)
    assert nvml.uuid is None
    assert nvml.used_bytes() is None
    assert nvml.driver_version() == "580.65.06"
    assert [caveat.code for caveat in nvml.caveats] == ["nvml-unavailable"]


def test_a_torch_that_tells_no_uuid(cuda, fake_nvml, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: object())
    nvml = Nvml(GPU, library=fake_nvml())
    assert device_uuid(GPU) is None
    assert nvml.power_w() is None
    assert "does not tell the UUID of cuda:0" in nvml.caveats[0].message


def test_a_torch_without_cuda_has_no_uuid(monkeypatch):
    def no_cuda(device: torch.device) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "get_device_properties", no_cuda)
    assert device_uuid(GPU) is None
    assert device_uuid(torch.device("cpu")) is None


def test_event_reasons_are_decoded_bit_by_bit(cuda, fake_nvml):
    library = fake_nvml()
    nvml = Nvml(GPU, library=library)
    library.reasons = 0x1 | 0x4 | 0x8 | 0x40 | 0x1000
    assert nvml.event_reasons() == (
        "gpu_idle",
        "sw_power_cap",
        "hw_slowdown",
        "hw_thermal_slowdown",
        "unknown_0x1000",
    )
    assert set(nvml.event_reasons()) & SLOWDOWN_REASONS == {"hw_slowdown", "hw_thermal_slowdown"}
    assert POWER_CAP_REASON in nvml.event_reasons()


def test_reasons_agree_with_the_installed_pynvml():
    pynvml = pytest.importorskip("pynvml")
    from v2drop_cli.measure.nvml import _CLOCK_SM, _REASONS, _TEMPERATURE_GPU

    assert (_CLOCK_SM, _TEMPERATURE_GPU) == (pynvml.NVML_CLOCK_SM, pynvml.NVML_TEMPERATURE_GPU)
    for bit, name in _REASONS.items():
        symbol = "Reason" + "".join(part.capitalize() for part in name.split("_"))
        found = [getattr(pynvml, f"nvmlClocks{era}{symbol}", None) for era in ("Event", "Throttle")]
        assert bit in found, name


@pytest.mark.parametrize(
    ("question", "symbol", "older"),
    [
        (
            "event_reasons",
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
        ),
        ("temperature_c", "nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV"),
    ],
)
def test_the_other_name_of_a_function_is_tried(cuda, fake_nvml, question, symbol, older):
    library = fake_nvml()
    library.answers[older] = library.answers.pop(symbol)
    nvml = Nvml(GPU, library=library)
    assert getattr(nvml, question)() == ANSWERS[question]
    assert nvml.caveats == ()


@pytest.mark.parametrize(
    ("own_memory", "pids", "others"),
    [
        (1, ["mine"], 0),
        (1, ["mine", 70_001], 1),
        (1, [70_001, 70_002], 1),  # a container: host PIDs, one of them is this process
        (1, [], None),  # a container that hides all of them
        (0, [], 0),
        (0, [70_001], 1),
    ],
)
def test_other_processes(cuda, fake_nvml, own_memory, pids, others):
    library = fake_nvml()
    cuda.reserved = own_memory
    own_pid = library.pids[0]
    library.pids = [own_pid if pid == "mine" else pid for pid in pids]
    nvml = Nvml(GPU, library=library)
    assert nvml.other_processes() == others
    assert len(nvml.caveats) == (others is None)


def test_bytes_from_an_older_pynvml_are_text(cuda, fake_nvml):
    library = fake_nvml()
    library.answers["nvmlSystemGetDriverVersion"] = lambda: b"450.1"
    assert Nvml(GPU, library=library).driver_version() == "450.1"


def test_the_library_is_let_go_once(cuda, fake_nvml):
    library = fake_nvml()
    with Nvml(GPU, library=library) as nvml:
        assert library.opened == 1
    nvml.shutdown()
    assert library.opened == 0
    assert ask_everything(nvml) == dict.fromkeys(ANSWERS)


def test_a_shutdown_that_fails_costs_nothing(cuda, fake_nvml):
    nvml = Nvml(GPU, library=fake_nvml("shutdown"))
    nvml.shutdown()
    assert [caveat.code for caveat in nvml.caveats] == ["nvml-shutdown"]
