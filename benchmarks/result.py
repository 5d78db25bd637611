"""A benchmark's result file: what was measured, where, when and by which command."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.nvml import Nvml

RESULTS = Path(__file__).parent / "results"


def origin(device: torch.device | None = None) -> dict[str, Any]:
    """Command and environment of this process, for the head of a result file."""
    device = device or torch.device("cpu")
    with Nvml(device) as nvml:
        environment = describe(device, nvml)
    return {"command": command(), "load_average": os.getloadavg()[0], "environment": environment}


def command() -> str:
    """What was typed, as ``python -m``; without ``--output``, a folder of this machine."""
    spec = sys.modules["__main__"].__spec__
    name = spec.name if spec is not None else Path(sys.argv[0]).name
    typed = re.sub(r" --output[ =]\S+", "", " ".join(["", *sys.argv[1:]]))
    return f"python -m {name}{typed}"


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace ``path`` in one step, so that it is never half a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def read(name: str) -> dict[str, Any] | None:
    """The result file called ``name``, or ``None`` where nothing was measured yet."""
    path = RESULTS / name
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def where(result: Mapping[str, Any]) -> str:
    """Command, device and date of the figures, as a sentence."""
    env = result["environment"]
    device = env["cpu"] if env["device"] == "cpu" else env["device"]
    threads = f", {env['torch_threads']} thread(s)" if env["device"] == "cpu" else ""
    commit = str(env["commit"] or "unknown")
    commit = commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")
    return (
        f"`{result['command']}` on {device}{threads}, {env['date'][:10]} (torch {env['torch']}, "
        f"transformers {env['transformers']}, commit {commit}, load average before the start "
        f"{result['load_average']:.1f})."
    )
