"""Where a number was measured: the report's ``environment`` block.

Enough to tell two machines or two versions apart, nothing that names a person, a host or a
folder. What is unknown is ``None``; describing never fails.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from v2drop_cli.container import container_limit
from v2drop_cli.measure.nvml import Nvml, device_uuid
from v2drop_cli.version import __version__

T = TypeVar("T")

_CHECKOUT = Path(__file__).parents[2]
_GIT_TIMEOUT_S = 5.0


def describe(device: torch.device, nvml: Nvml | None = None) -> dict[str, Any]:
    """Tell the machine, the versions and the state of the device now, ready for JSON.

    Args:
        device: what the measurement runs on.
        nvml: its NVML; without one the driver, clock and temperature are ``None``.

    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "v2drop": __version__,
        "commit": _or_none(_commit),
        "python": platform.python_version(),
        "platform": _or_none(_platform),
        "cpu": _or_none(_cpu_model),
        "cpu_logical_cores": os.cpu_count(),
        "torch": str(torch.__version__),
        "torch_threads": _or_none(torch.get_num_threads),
        "transformers": _version_of("transformers"),
        "flash_attn": _version_of("flash-attn"),
        "cuda": torch.version.cuda,
        "cudnn": _or_none(_cudnn),
        **_device(device, nvml),
    }


def _device(device: torch.device, nvml: Nvml | None) -> dict[str, Any]:
    name: str | None = device.type
    if device.type == "cuda":
        name = _or_none(lambda: torch.cuda.get_device_name(device))
    return {
        "device": name,
        "gpu_uuid": (nvml.uuid if nvml else None) or _or_none(lambda: device_uuid(device)),
        "total_memory_bytes": total_memory(device),
        "driver": nvml.driver_version() if nvml else None,
        "sm_clock_mhz": nvml.sm_clock_mhz() if nvml else None,
        "temperature_c": nvml.temperature_c() if nvml else None,
    }


def total_memory(device: torch.device) -> int | None:
    """Bytes of the device; ``None`` where it does not tell."""
    if device.type == "cuda":
        return _or_none(lambda: int(torch.cuda.get_device_properties(device).total_memory))
    return _or_none(_system_memory)


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except Exception:
        # A machine that will not describe itself is no reason to lose the measurement.
        return None


def _version_of(distribution: str) -> str | None:
    # Installed metadata, not the module: importing transformers takes seconds.
    return _or_none(lambda: importlib.metadata.version(distribution))


def _platform() -> str:
    return " ".join((platform.system(), platform.release(), platform.machine()))


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip() or None
    return platform.processor() or None


def _cudnn() -> str | None:
    cudnn: Any = torch.backends.cudnn  # untyped in torch
    version = cudnn.version()
    return None if version is None else str(version)


def _system_memory(root: Path = Path("/")) -> int:
    """Tell the memory this process may use: a container's limit, where that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = container_limit(root)
    return total if limit is None else min(total, limit)


def _commit(checkout: Path = _CHECKOUT) -> str | None:
    """Name the commit this code was run from, with ``-dirty`` when files differ from it."""
    git = shutil.which("git")
    # Only a checkout of this very package: site-packages inside somebody's repository is not.
    if git is None or not (checkout / ".git").exists():
        return None
    # Inside a git hook GIT_DIR names the repository being committed to, which is another one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    no_tags = ("--exclude=*",)
    answer = subprocess.run(
        [git, "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", *no_tags],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )
    return answer.stdout.strip() or None if answer.returncode == 0 else None
