"""``v2drop doctor``: what this machine has, one finding a line, and how to mend a bad one."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.errors import DeviceError, ModelError, V2DropError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.checkpoint_files import check_files, check_processor_files
from v2drop_cli.models.devices import free_memory, pick_device, pick_dtype
from v2drop_cli.models.load_errors import dummy_hint, guarded
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import ALIASES, Source, resolve
from v2drop_cli.models.packages import (
    check_processor,
    folder_of,
    how_to_install,
    processor_name,
    torchvision_fault,
)
from v2drop_cli.models.processors import load_processor
from v2drop_cli.models.registry import get_family
from v2drop_cli.models.releases import NEWEST, OLDEST, TESTED, release, untested
from v2drop_cli.units import format_bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        ok: fine, not fine, or ``None`` where it does not matter on this machine.
        name: what was looked at.
        detail: what was found.
        fix: what to do about it; only where it is not fine.
    """

    ok: bool | None
    name: str
    detail: str
    fix: str | None = None


def judged(ok: bool | None, name: str, detail: str, fix: str | None) -> Finding:
    """A finding that carries ``fix`` only if there is something to mend."""
    return Finding(ok, name, detail, fix if ok is False else None)


def examine(model: str, device: str = "auto", dtype: str = "auto") -> list[Finding]:
    """Look at everything that ``v2drop run --model MODEL`` will need, with its other options."""
    return [*_software(), *_gpu(device), _hub(model), *_model(model, device, dtype)]


def _model(model: str, device: str, dtype: str) -> Iterator[Finding]:
    """Files, processor and memory, as far as the step before lets them be looked at."""
    if torchvision_fault() is not None:
        yield Finding(None, "processor", "not looked at: this torchvision breaks transformers")
        return
    files = _files(model)
    yield from files
    if all(finding.ok for finding in files):
        yield _processor(model)
        yield _memory(model, device, dtype)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _software() -> Iterator[Finding]:
    python = sys.version.split()[0]
    yield judged(sys.version_info >= (3, 11), "Python", python, "install Python 3.11 or newer")
    yield Finding(True, "torch", str(torch.__version__))
    yield _transformers(_version("transformers") or "missing")
    av = _version("av")
    yield judged(av is not None, "PyAV (video)", av or "missing", "pip install av")
    yield _torchvision()
    words = _version("num2words")
    missing = "not installed; SmolVLM's processor needs it (extra: vision)"
    yield Finding(True if words else None, "num2words", words or missing)


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
    """Which families need it is for the processor's finding to say."""
    version, fault = _version("torchvision"), torchvision_fault()
    if fault is not None:
        fix = f"{how_to_install(['torchvision'])}, or pip uninstall torchvision"
        return Finding(False, "torchvision", f"{version} does not import: {fault}", fix)
    if version is None:
        missing = "not installed; the processors of most families need it (extra: vision)"
        return Finding(None, "torchvision", missing)
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
    yield judged(
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
    return judged(
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


def _processor(model: str) -> Finding:
    """The model's own processor, made if its files are here; else what its class needs."""
    source = resolve(model)
    if os.path.isfile(source.location):
        detail = "a configuration has none; synthetic input needs none"
        return Finding(None, "processor", detail)
    folder = folder_of(source)
    try:
        name = _processor_name(model, source, folder)
        check_processor(model, name)
        if folder is None or not _has_processor(folder):
            return _expected(name)
        here = Source(str(folder), None, True)
        made = guarded(source, lambda: load_processor(here, LoadOptions()))
    except V2DropError as error:
        return Finding(False, "processor", error.message, error.hint)
    return Finding(True, "processor", f"{type(made).__name__} can be made")


def _expected(name: str | None) -> Finding:
    """What is known of a processor whose files are not on this machine."""
    if name is None:
        return Finding(None, "processor", "its files are not here: what it needs is not known")
    return Finding(True, "processor", f"{name} has the packages it needs; its files are not here")


def _processor_name(model: str, source: Source, folder: Path | None) -> str | None:
    """The class of its processor, also of an alias that was never downloaded."""
    alias = ALIASES.get(model)
    if alias is not None and alias.processor is not None:
        return alias.processor
    if folder is not None:
        return processor_name(source, getattr(_config_in(folder), "model_type", None))
    kinds = get_family(alias.family).model_types if alias is not None else (None,)
    return processor_name(source, kinds[0])


def _has_processor(folder: Path) -> bool:
    try:
        check_processor_files(folder)
    except ModelError:
        return False
    return True


def _config_in(folder: Path) -> Any:
    from transformers import AutoConfig

    return guarded(Source(str(folder), None, True), lambda: AutoConfig.from_pretrained(str(folder)))


def _memory(model: str, device_name: str, dtype: str) -> Finding:
    try:
        device = pick_device(device_name)
    except DeviceError as error:
        return Finding(False, "memory", error.message, "--device cpu works anywhere")
    free = free_memory(device)
    needed = _weights_of(model, device, dtype)
    if needed is None or free is None:
        return Finding(None, "memory", f"{format_bytes(free)} free on {device}; need not known")
    return judged(
        needed < free,
        "memory",
        f"{model} needs about {format_bytes(needed)}; {format_bytes(free)} free on {device}",
        "a smaller model, --dtype bfloat16, or a bigger device",
    )


def _weights_of(model: str, device: torch.device, dtype: str) -> int | None:
    """Bytes of the weights as ``run`` would load them there; ``None`` without a configuration."""
    from v2drop_cli.models.dummy import read_config_file
    from v2drop_cli.models.weights import auto_class

    source = resolve(model)
    folder = folder_of(source)
    if source.config is not None:
        config = read_config_file(source.config)
    elif folder is not None:
        config = _config_in(folder)
    else:
        return None
    with torch.device("meta"):
        skeleton = auto_class(config.model_type).from_config(config)
    size = torch.empty((), dtype=pick_dtype(dtype, device, config)).element_size()
    return size * sum(int(parameter.numel()) for parameter in skeleton.parameters())
