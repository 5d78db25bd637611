"""Devices and number formats by name, and how much memory is free."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.container import container_room
from v2drop_cli.errors import DeviceError
from v2drop_cli.processes import Processes


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Of several processes each has a GPU of its own, unless one is named.

    Raises:
        DeviceError: CUDA asked for and not there, or no GPU of that number.
        UsageError: which of several processes this is cannot be told.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    processes = Processes.here()
    if name == "cuda" and processes.several and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if processes.local >= count:
            raise DeviceError(
                f"process {processes.rank} of {processes.count} has no GPU: it is number "
                f"{processes.local} on a machine with {count}, both counted from 0",
                hint=f"start {count} processes on a machine; or --device cuda:0, where each sees "
                "its own GPU alone",
            )
        return torch.device("cuda", processes.local)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                "--device cuda: this torch sees no CUDA device",
                hint="v2drop doctor says why; --device cpu works anywhere",
            )
        count = torch.cuda.device_count()
        if device.index is not None and device.index >= count:
            raise DeviceError(
                f"--device {name}: there are {count} GPUs", hint=f"cuda:0 to cuda:{count - 1}"
            )
    return device


def pick_dtype(name: str, device: torch.device, config: Any) -> torch.dtype:
    """``auto``: the checkpoint's own format on a GPU; float32 on a CPU, where half is slow."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.float32
    stored = getattr(config, "dtype", None) or config.get_text_config().dtype
    if isinstance(stored, str):
        stored = getattr(torch, stored)
    return stored if isinstance(stored, torch.dtype) else torch.bfloat16


def free_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes free on ``device``; ``None`` where that cannot be told.

    Of the CPU's memory a container may use less than there is: the smaller of the two counts.

    Args:
        device: a GPU, or the CPU.
        root: where ``proc`` and ``sys`` are.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = (_available(root), container_room(root))
    return min((size for size in known if size is not None), default=None)


def _available(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else None
