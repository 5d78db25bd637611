from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from v2drop_cli.measure import environment
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.version import __version__

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)
GPU_KEYS = ("gpu_uuid", "driver", "sm_clock_mhz", "temperature_c")

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


def test_a_cpu_is_described_and_its_gpu_fields_are_none():
    block = describe(CPU)
    assert block["device"] == "cpu"
    assert block["v2drop"] == __version__
    assert block["torch"] == torch.__version__
    assert block["python"] == platform.python_version()
    assert block["torch_threads"] == torch.get_num_threads()
    assert block["cpu_logical_cores"] >= 1
    assert [block[key] for key in GPU_KEYS] == [None] * 4


def test_the_block_is_json_and_keeps_its_keys():
    block = describe(CPU)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert set(block) == {
        *("date", "v2drop", "commit", "python", "platform", "cpu", "cpu_logical_cores"),
        *("torch", "torch_threads", "transformers", "flash_attn", "cuda", "cudnn"),
        *("device", "total_memory_bytes", *GPU_KEYS),
    }


def test_the_date_is_now_in_utc():
    then = datetime.fromisoformat(describe(CPU)["date"])
    assert then.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - then) < timedelta(minutes=1)


def test_a_gpu_is_described(cuda, fake_nvml):
    with Nvml(GPU, library=fake_nvml()) as nvml:
        block = describe(GPU, nvml)
    assert block["device"] == "NVIDIA Fake"
    assert block["total_memory_bytes"] == 80 * 2**30
    assert [block[key] for key in GPU_KEYS] == [f"GPU-{cuda.visible[0]}", "580.65.06", 1980, 61]


def test_a_gpu_without_nvml_still_has_its_uuid(cuda, fake_nvml):
    for nvml in (None, Nvml(GPU, library=fake_nvml("init"))):
        block = describe(GPU, nvml)
        assert [block[key] for key in GPU_KEYS] == [cuda.visible[0], None, None, None]


def test_describing_never_fails(monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    for owner, name in (
        (torch, "get_num_threads"),
        (torch.backends.cudnn, "version"),
        (torch.cuda, "get_device_name"),
        (torch.cuda, "get_device_properties"),
        (environment.importlib.metadata, "version"),
        (environment.shutil, "which"),
        (environment.platform, "release"),
        (environment.platform, "processor"),
        (environment.Path, "read_text"),
    ):
        monkeypatch.setattr(owner, name, broken)
    block = describe(GPU)
    assert block["python"]
    for key in ("device", "transformers", "commit", "platform", "cpu", "total_memory_bytes"):
        assert block[key] is None


def test_nothing_names_the_host_or_a_folder(monkeypatch):
    there = platform.uname()
    monkeypatch.setattr(platform, "uname", lambda: there._replace(node="secret-host"))
    text = json.dumps(describe(CPU))
    assert "secret-host" not in text
    assert str(Path.home()) not in text
    assert str(Path(__file__).parents[2]) not in text


def test_a_cpu_without_a_model_name(monkeypatch):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(environment.Path, "read_text", lambda path: "processor\t: 0\n")
    assert describe(CPU)["cpu"] is None
    monkeypatch.setattr(
        environment.Path, "read_text", lambda path: "processor\t: 0\nmodel name\t: Some CPU\n"
    )
    assert describe(CPU)["cpu"] == "Some CPU"


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(
        ["git", *identity, *words],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"PATH": environment.os.environ["PATH"], "HOME": str(folder)},
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    return tmp_path


@needs_git
def test_the_commit_of_a_checkout(checkout, monkeypatch):
    assert environment._commit(checkout) is None  # nothing committed yet
    git(checkout, "commit", "-q", "-m", "one")
    git(checkout, "tag", "v1")
    commit = environment._commit(checkout)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    (checkout / "file").write_text("2")
    assert environment._commit(checkout) == f"{commit}-dirty"
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert environment._commit(checkout) == f"{commit}-dirty"


def test_no_git_no_subprocess(tmp_path, monkeypatch):
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a subprocess was started")

    monkeypatch.setattr(environment.subprocess, "run", forbidden)
    assert environment._commit(tmp_path) is None  # an installed package: no .git beside it
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    assert environment._commit(tmp_path) is None
