"""``v2drop doctor``: what this machine has, one finding a line, each with its fix."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from v2drop_cli.errors import DeviceError, ModelError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.checkpoint_files import check_files
from v2drop_cli.models.devices import free_memory, pick_device, pick_dtype
from v2drop_cli.models.load_errors import dummy_hint
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import resolve
from v2drop_cli.models.releases import NEWEST, OLDEST, TESTED, release, untested
from v2drop_cli.units import format_bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        ok: fine, not fine, or ``None`` where it does not matter on this machine.
        name: what was looked at.
        detail: what was found.
        fix: what to do about it, or ``None``.
    """

    ok: bool | None
    name: str
    detail: str
    fix: str | None = None


def examine(model: str, device: str = "auto", dtype: str = "auto") -> list[Finding]:
    """Look at everything that ``v2drop run --model MODEL`` will need, with its other options."""
    files = _files(model)
    sound = all(finding.ok for finding in files)
    memory = [_memory(model, device, dtype)] if sound else []
    return [*_software(), *_gpu(device), _hub(model), *files, *memory]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _software() -> Iterator[Finding]:
    python = sys.version.split()[0]
    yield Finding(sys.version_info >= (3, 11), "Python", python, "install Python 3.11 or newer")
    yield Finding(True, "torch", str(torch.__version__))
    yield _transformers(_version("transformers") or "missing")
    av = _version("av")
    yield Finding(av is not None, "PyAV (video)", av or "missing", "pip install av")
    yield _torchvision()


def _transformers(found: str) -> Finding:
    """Too old is wrong; too new is not known to be, and refused where it is not recognised."""
    if release(found) < OLDEST:
        fix = f"pip install 'transformers>={OLDEST[0]}.{OLDEST[1]},<{NEWEST[0]}.{NEWEST[1] + 1}'"
        return Finding(False, "transformers", f"{found}, tested are {TESTED}", fix)
    caveat = untested(found)
    if caveat is not None:
        return Finding(None, "transformers", caveat.message)
    return Finding(True, "transformers", found)


def _torchvision() -> Finding:
    """Optional here; but one that does not import breaks transformers wherever it finds it."""
    version = _version("torchvision")
    if version is None:
        return Finding(None, "torchvision", "not installed; only video processors need it")
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # its import fails in many ways beside a torch of another build
        return Finding(
            False,
            "torchvision",
            f"{version} does not import: {str(error).splitlines()[0][:80]}",
            "install the build that matches torch, or pip uninstall torchvision",
        )
    return Finding(True, "torchvision", version)


def _gpu(asked: str) -> Iterator[Finding]:
    if not torch.cuda.is_available():
        why = "this torch is a CPU build" if torch.version.cuda is None else "no GPU or driver"
        if asked.startswith("cuda"):
            fix = "install a driver and a CUDA build of torch, or use --device cpu"
            yield Finding(False, "CUDA", f"not available: {why}", fix)
        else:
            yield Finding(None, "CUDA", f"not available: {why}; the CPU is used")
        yield Finding(None, "NVML", "no GPU to ask about")
        yield _flash()
        return
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        free = format_bytes(free_memory(device))
        yield Finding(True, f"cuda:{index}", f"{torch.cuda.get_device_name(device)}, {free} free")
    with Nvml(torch.device("cuda", 0)) as nvml:
        driver = nvml.driver_version()
        missing = "; ".join(caveat.message for caveat in nvml.caveats)
    yield Finding(
        driver is not None,
        "NVML",
        f"driver {driver}" if driver else missing,
        "pip install nvidia-ml-py; device-used memory and clocks are n/a without it",
    )
    yield _flash()


def _flash() -> Finding:
    version = _version("flash-attn")
    if version is not None:
        return Finding(True, "flash-attn", version)
    return Finding(
        None, "flash-attn", "not installed (optional): pip install flash-attn --no-build-isolation"
    )


def _hub(model: str) -> Finding:
    from huggingface_hub import constants, try_to_load_from_cache

    offline = " (offline mode)" if constants.HF_HUB_OFFLINE else ""
    where = f"cache {constants.HF_HUB_CACHE}{offline}"
    source = resolve(model)
    if source.is_local:
        return Finding(True, "Hub", f"{model} is on this machine; {where}")
    cached = isinstance(try_to_load_from_cache(source.location, "config.json"), str)
    if cached:
        return Finding(True, "Hub", f"{source.location} is cached; {where}")
    return Finding(
        False if constants.HF_HUB_OFFLINE else None,
        "Hub",
        f"{source.location} is not cached: it will be downloaded; {where}",
        f"unset HF_HUB_OFFLINE, or pass a local directory, or {dummy_hint(source)}",
    )


def _files(model: str) -> list[Finding]:
    """A model directory's files; a configuration alone is for dummy weights."""
    source = resolve(model)
    if not source.is_local:
        return []
    weights = "dummy" if os.path.isfile(source.location) else "trained"
    try:
        caveats = check_files(source, LoadOptions(weights=weights))
    except ModelError as error:
        return [Finding(False, "model files", error.message, error.hint)]
    return [Finding(True, "model files", "; ".join(c.message for c in caveats) or "all there")]


def _memory(model: str, device_name: str, dtype: str) -> Finding:
    try:
        device = pick_device(device_name)
    except DeviceError as error:
        return Finding(False, "memory", error.message, "--device cpu works anywhere")
    free = free_memory(device)
    needed = _weights_of(model, device, dtype)
    if needed is None or free is None:
        return Finding(None, "memory", f"{format_bytes(free)} free on {device}; need not known")
    return Finding(
        needed < free,
        "memory",
        f"{model} needs about {format_bytes(needed)}; {format_bytes(free)} free on {device}",
        "a smaller model, --dtype bfloat16, or a bigger device",
    )


def _weights_of(model: str, device: torch.device, dtype: str) -> int | None:
    """Bytes of the weights as ``run`` would load them there; ``None`` without a configuration."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    from v2drop_cli.models.dummy import read_config_file

    source, config = resolve(model), None
    if source.config is not None:
        config = read_config_file(source.config)
    elif os.path.isdir(source.location):
        config = AutoConfig.from_pretrained(source.location)
    if config is None:
        return None
    with torch.device("meta"):
        skeleton = AutoModelForImageTextToText.from_config(config)
    size = torch.empty((), dtype=pick_dtype(dtype, device, config)).element_size()
    return size * sum(int(parameter.numel()) for parameter in skeleton.parameters())
