"""The GPU benchmark runs where there is no GPU, and survives parts that fail."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, result, tables
from benchmarks.mutation import table as mutations

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_dry_run_asks_everything(tmp_path):
    output = tmp_path / "gpu.json"
    gpu.main(["--dry-run", "--output", str(output)])
    parts = json.loads(output.read_text(encoding="utf-8"))["parts"]
    assert list(parts) == [part.name for part in gpu.parts(True, tmp_path)]
    other = parts.pop("optimum-benchmark")  # nothing here needs it
    installed = importlib.util.find_spec("optimum_benchmark") is not None
    assert other["status"] == "ok" if installed else "not installed" in other["why"]
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(parts, "ok")
    assert parts["oracle"]["result"]["failed"] == 0
    for name in ("llava-1.5-7b", "llava-onevision-7b", "qwen2-vl-7b"):
        labels = [arm["label"] for arm in parts[name]["result"]["arms"]]
        assert labels[0] == "dense"
        assert [label for label in labels if label.partition(" ")[0] == "random"]
    ways = parts["peak memory"]["result"]["ways"]
    assert {way["peak_bytes"] for way in ways.values()} == {None}
    full, last = (
        ways[f"dense, logits of {what}"]["logits_bytes"] for what in ("all tokens", "last token")
    )
    assert full == last * parts["peak memory"]["result"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("arguments", "limit_s", "said"),
    [
        (("no_such_module",), 60.0, "No module named"),
        (("timeit", "-n1", "-r1", "import time; time.sleep(60)"), 6.0, "stopped after 6 s"),
        (("timeit",), 1.0, "budget was used up"),
    ],
)
def test_a_part_that_fails_hangs_or_has_no_time_is_recorded(tmp_path, arguments, limit_s, said):
    found = gpu.run(gpu.Part("part", arguments, limit_s), tmp_path, limit_s)
    assert found["status"] == ("skipped" if limit_s == 1.0 else "error")
    assert said in found.get("why", "") + found.get("stderr", "")
    assert str(ROOT) not in json.dumps(found)


def test_the_real_run_asks_for_the_papers_settings_and_fits_in_ten_minutes(tmp_path):
    parts = list(gpu.parts(False, tmp_path))
    words = {part.name: " ".join(part.arguments) for part in parts}
    assert "--budget 192 --budget 128 --budget 64" in words["llava-1.5-7b"]
    assert "--frames 32 --budget 25% --budget 15%" in words["llava-onevision-7b"]
    assert "--decode compiled" in words["llava-1.5-7b compiled"]
    assert all("--device cuda" in text for text in words.values())
    assert gpu.BUDGET_S < 600


def test_it_needs_neither_av_nor_torchvision():
    program = (
        "import sys; sys.modules['av'] = sys.modules['torchvision'] = None\n"
        "import benchmarks.gpu, benchmarks.gpu_checks, benchmarks.overhead\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_page_without_measurements_says_so(monkeypatch, tmp_path):
    # The folder is emptied, not each reader: a table that comes later is then asked too.
    monkeypatch.setattr(result, "RESULTS", tmp_path)
    monkeypatch.setattr(mutations, "FOLDER", tmp_path)
    for _, name, table in tables.PARTS:
        [line] = table()
        assert line.startswith("Not ")
        if name.startswith("gpu"):
            assert line == tables.NOT_ON_A_GPU
