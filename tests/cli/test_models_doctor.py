"""`v2drop models` and `v2drop doctor`."""

from __future__ import annotations

import json

import pytest
import torch

from tests.checkpoints import save_config
from v2drop_cli.methods.registry import METHODS
from v2drop_cli.models.names import ALIASES
from v2drop_cli.models.refused import REFUSED
from v2drop_cli.models.registry import FAMILIES
from v2drop_cli.schedule import PRESETS


def test_models_lists_every_registry(v2drop):
    result = v2drop("models", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert [row["alias"] for row in found["models"]] == list(ALIASES)
    assert [row["family"] for row in found["families"]] == list(FAMILIES)
    assert [row["method"] for row in found["methods"]] == list(METHODS)
    llavas = [row for row in found["presets"] if "llava" in row["families"]]
    assert {row["preset"]: row["schedule"] for row in llavas} == PRESETS
    assert {row["at layers"] for row in llavas} == {32}
    for name in FAMILIES:
        assert any(name in row["families"] for row in found["presets"])
    assert {row["model type"]: row["reason"] for row in found["refused"]} == REFUSED
    text = v2drop("models").out
    for name in (*ALIASES, *METHODS, *PRESETS, *REFUSED):
        assert name in text


def test_doctor_on_this_machine(v2drop):
    result = v2drop("doctor", "--json")
    findings = {row["name"]: row for row in json.loads(result.out)}
    assert result.code == (1 if any(row["ok"] is False for row in findings.values()) else 0)
    assert findings["Python"]["ok"] is True
    assert findings["Hub"]["ok"] is True
    assert findings["memory"]["ok"] is True
    for name in ("torch", "transformers", "PyAV (video)", "torchvision", "NVML", "flash-attn"):
        assert name in findings
    for row in findings.values():
        assert row["fix"] or row["ok"] is not False
    assert "PyAV" in v2drop("doctor").out


def test_doctor_says_what_is_wrong_and_how_to_fix_it(v2drop, monkeypatch):
    import v2drop_cli.commands.doctor as doctor

    monkeypatch.setattr(doctor, "free_memory", lambda device: 10**9)
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda p: "5.2.0" if p == "transformers" else real(p))
    result = v2drop("doctor", "--model", "llava-1.5-13b")
    assert result.code == 1
    assert "5.2.0" in result.out
    assert "transformers>=5.17" in result.out
    assert "needs about" in result.out
    assert "dummy" in result.out  # offline, and not in the cache


def memory_of(v2drop, *args):
    result = v2drop("doctor", "--json", *args)
    return next(row for row in json.loads(result.out) if row["name"] == "memory")


def test_doctor_reckons_with_the_number_format_and_the_device(v2drop, tmp_path):
    file = save_config(tmp_path / "model") / "config.json"
    full, half = (
        memory_of(v2drop, "--model", file, "--device", "cpu", "--dtype", dtype)["detail"]
        for dtype in ("auto", "bfloat16")
    )
    sizes = [float(detail.split("about ")[1].split()[0]) for detail in (full, half)]
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.01)
    v2drop("doctor", "--dtype", "bfloat15").refused(2, "did you mean bfloat16")
    v2drop("doctor", "--device", "cudo").refused(2, "unknown device 'cudo'")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_doctor_with_a_device_that_is_not_there(v2drop):
    found = memory_of(v2drop, "--device", "cuda")
    assert found["ok"] is False
    assert "no CUDA device" in found["detail"]
    assert "--device cpu" in found["fix"]
    assert v2drop("doctor", "--device", "cuda").code == 1
    assert "the CPU is used" not in v2drop("doctor", "--device", "cuda").out
    assert "the CPU is used" in v2drop("doctor").out


def test_doctor_with_a_torchvision_that_does_not_import(monkeypatch):
    import v2drop_cli.commands.doctor as doctor

    def explode(name):
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(doctor, "_version", lambda package: "0.28.0")
    monkeypatch.setattr(doctor.importlib, "import_module", explode)
    finding = doctor._torchvision()
    assert finding.ok is False
    assert "nms" in finding.detail
    assert "uninstall" in finding.fix


@pytest.mark.parametrize("command", ["doctor"])
def test_unknown_model(v2drop, command):
    v2drop(command, "--model", "tinny").refused(2, "did you mean tiny")
