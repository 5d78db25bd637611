"""`v2drop models` and `v2drop doctor`."""

from __future__ import annotations

import json
import re

import pytest
import torch

from tests.checkpoints import save_config
from v2drop_cli.methods.registry import METHODS
from v2drop_cli.models.names import ALIASES
from v2drop_cli.models.refused import CONFIGURATIONS, REFUSED
from v2drop_cli.models.registry import FAMILIES, get_family
from v2drop_cli.schedule import PRESETS

# Of no family of this name: Qwen Omni's types are refused beside their thinkers' families.
A_REFUSED_TYPE = next(name for name in REFUSED if name not in FAMILIES)


def test_models_lists_every_registry(v2drop):
    result = v2drop("models", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["schema"] == "v2drop.models/1"
    assert [row["alias"] for row in found["models"]] == list(ALIASES)
    assert [row["family"] for row in found["families"]] == list(FAMILIES)
    assert [row["method"] for row in found["methods"]] == list(METHODS)
    llavas = [row for row in found["presets"] if "llava" in row["families"]]
    assert {row["preset"]: row["schedule"] for row in llavas} == PRESETS
    assert {row["at_layers"] for row in llavas} == {32}
    for name in FAMILIES:
        assert any(name in row["families"] for row in found["presets"])
    assert {row["model_type"]: row["reason"] for row in found["refused"]} == REFUSED


def test_the_json_of_models_has_snake_case_and_still_the_keys_of_before(v2drop):
    found = json.loads(v2drop("models", "--json").out)
    assert found["refused configurations"] == found["refused_configurations"]
    old = {
        "models": {"alias", "source", "family", "dummy weights", "note"},
        "families": {"family", "model types", "takes", "presets", "preset source"},
        "methods": {"method", "paper"},
        "presets": {"preset", "schedule", "at layers", "families"},
        "refused": {"model type", "reason"},
        "refused configurations": {"family", "configuration", "reason"},
    }
    for title, keys in old.items():
        for row in found[title]:
            assert keys <= set(row)
            assert all(row[key] == row[key.replace(" ", "_")] for key in keys)


def test_models_fits_one_screen(v2drop, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = v2drop("models")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert len(lines) < 30  # windows of 24 lines held sixty families
    assert max(map(len, lines)) <= 80
    words = set(re.findall(r"[^\s,()]+", result.out))
    assert {*ALIASES, *FAMILIES, *METHODS, *PRESETS} <= words
    assert not words & (set(REFUSED) - set(FAMILIES))
    video = result.out.partition("images only:")[0]
    for name in FAMILIES:
        takes_it = "video" in get_family(name).media
        assert (name in re.findall(r"[^\s,()]+", video)) == takes_it, name


@pytest.mark.parametrize("name", [*ALIASES, *FAMILIES, *METHODS, A_REFUSED_TYPE])
def test_models_tells_all_of_one(v2drop, name):
    found = json.loads(v2drop("models", name, "--json").out)
    assert found.keys() == json.loads(v2drop("models", "--json").out).keys()
    if name in ALIASES:
        assert [row["alias"] for row in found["models"]] == [name]
        assert [row["family"] for row in found["families"]] == [ALIASES[name].family]
    if name in FAMILIES:
        of_it = [alias.name for alias in ALIASES.values() if alias.family == name]
        assert [row["alias"] for row in found["models"]] == of_it
        assert {row["preset"] for row in found["presets"]} == set(PRESETS)
        assert all(row["families"] == [name] for row in found["presets"])
    if name in METHODS:
        assert [row["method"] for row in found["methods"]] == [name]
        assert not found["families"]
    if name in REFUSED:
        assert [row["reason"] for row in found["refused"]] == [REFUSED[name]]


def test_one_model_as_text(v2drop):
    text = v2drop("models", "qwen2-vl-7b").out
    assert "Qwen/Qwen2-VL-7B-Instruct" in text
    assert "3:0.25,16:0.05,22:1t" in text
    assert "llava" not in text.lower().replace("llava-1.5's", "")
    assert REFUSED[A_REFUSED_TYPE] in v2drop("models", A_REFUSED_TYPE).out


def test_models_and_doctor_as_markdown(v2drop, tmp_path):
    page = tmp_path / "page.md"
    told = v2drop("models", "--export-md", page)
    assert (told.code, told.err) == (0, f"Wrote {page}\n")
    text = page.read_text()
    assert all(f"\n| {alias} |" in text for alias in ALIASES)
    assert "\n## Methods\n\n| method | paper |\n| --- | --- |\n" in text
    assert v2drop("doctor", "--json", "--export-md", page).code == 0
    assert "\n|  | check | says |" in page.read_text()
    v2drop("models", "--export-md", tmp_path).refused(2, "directory")


def test_models_refused(v2drop, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    result = v2drop("models", "--refused")
    lines = result.out.splitlines()
    assert all(name in result.out for name in REFUSED)
    cells = {tuple(re.split(r"\s{2,}", line.strip())) for line in lines}
    assert set(CONFIGURATIONS) <= cells
    assert "tiny" not in result.out.split()
    found = json.loads(v2drop("models", "--refused", "--json").out)
    assert "models" not in found
    assert len(found["refused"]) == len(REFUSED)
    v2drop("models", "tiny", "--refused").refused(2, "leave out the name")


def test_an_unknown_name_is_one_short_line(v2drop):
    result = v2drop("models", "qwen2-vl-7")
    result.refused(2, "did you mean qwen2-vl-7b", "v2drop models [--refused] lists all")
    assert max(map(len, result.err.splitlines())) < 120


def test_doctor_on_this_machine(v2drop):
    result = v2drop("doctor", "--json")
    found = json.loads(result.out)
    assert (found["schema"], found["model"]) == ("v2drop.doctor/1", "tiny")
    findings = {row["name"]: row for row in found["findings"]}
    assert result.code == (1 if any(row["ok"] is False for row in findings.values()) else 0)
    assert findings["Python"]["ok"] is True
    assert findings["Hub"]["ok"] is True
    assert findings["memory"]["ok"] is True
    for name in ("torch", "transformers", "PyAV (video)", "torchvision", "NVML", "flash-attn"):
        assert name in findings
    for row in findings.values():
        assert bool(row["fix"]) == (row["ok"] is False)
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
    return next(row for row in json.loads(result.out)["findings"] if row["name"] == "memory")


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


@pytest.mark.parametrize("command", ["doctor"])
def test_unknown_model(v2drop, command):
    v2drop(command, "--model", "tinny").refused(2, "did you mean tiny")
