"""Packages that some models' processors need and v2drop itself does not: the extra ``vision``.

Where a package is missing, transformers puts a stand-in in the place of each class that needs it,
and the stand-in names the package. So a processor's class tells what is missing before anything
is downloaded.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MissingPackageError
from v2drop_cli.models.arguments import parameters_of
from v2drop_cli.models.releases import release

if TYPE_CHECKING:
    from v2drop_cli.models.names import Source

VISION = ("torchvision", "num2words")
"""The packages of the extra ``vision``; a test compares them with ``pyproject.toml``."""

# Looked for only when a processor of this class is made, so the class alone does not tell.
_WHEN_MADE = {"SmolVLMProcessor": ("num2words",)}
# The files that may name a processor's class, in the order in which transformers asks them.
_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
# torchvision 0.15 was built with torch 2.0, and each release since with torch's next one.
_BEHIND = 15


def is_installed(package: str) -> bool:
    """Whether it can be found; whether its import works is another matter."""
    return importlib.util.find_spec(package) is not None


def missing_packages(processor: str) -> tuple[str, ...]:
    """What transformers' class ``processor`` needs and is not installed.

    Empty for a class that transformers does not have: a checkpoint's own code says itself what it
    needs. Ask :func:`torchvision_fault` first: a broken torchvision breaks this too.
    """
    import transformers

    try:
        found = getattr(transformers, processor, None)
    except ModuleNotFoundError as error:  # its file imports a package outright: Gemma 4's in 5.17
        return tuple(package for package in VISION if _named(error, package))
    if found is None:
        return ()
    parts = [found, _pictures_part(processor)]
    if not _named_by(found) and "video_processor" in parameters_of(found.__init__):
        parts.append(transformers.BaseVideoProcessor)
    wanted = [name for part in parts for name in _named_by(part)]
    wanted += _WHEN_MADE.get(processor, ())
    return tuple(package for package in dict.fromkeys(wanted) if not is_installed(package))


def _pictures_part(processor: str) -> Any:
    """The one without torchvision, as far as this transformers has it; else the only one."""
    import transformers

    name = processor.replace("Processor", "ImageProcessor")
    plain = getattr(transformers, f"{name}Pil", None)
    # Not asked for where there is a plain one: transformers would warn of taking that instead.
    return plain if plain is not None else getattr(transformers, name, None)


def _named(error: BaseException | None, package: str) -> bool:
    """Whether ``error``, or what caused it, is about the import of ``package``."""
    while error is not None:
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == package:
            return True
        error = error.__cause__ or error.__context__
    return False


def _named_by(found: Any) -> tuple[str, ...]:
    """The missing packages, if ``found`` is a stand-in; else none."""
    return tuple(map(str, found._backends)) if getattr(found, "is_dummy", False) else ()


def processor_name(
    source: Source, model_type: str | None, revision: str | None = None
) -> str | None:
    """The class of a model's processor, or ``None`` if nothing here tells.

    Args:
        source: the model.
        model_type: of its configuration, where that is known.
        revision: of its repository on the Hub.
    """
    from transformers.models.auto import processing_auto as auto

    folder = folder_of(source, revision)
    named = _named_in(folder) if folder is not None else None
    usual: dict[Any, str] = auto.PROCESSOR_MAPPING_NAMES  # type: ignore[attr-defined]
    return named or usual.get(model_type)


def _named_in(folder: Path) -> str | None:
    for name in _FILES:
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not there, or the loader will say what is wrong with it
        if isinstance(values, dict) and isinstance(values.get("processor_class"), str):
            return str(values["processor_class"])
    return None


def folder_of(source: Source, revision: str | None = None) -> Path | None:
    """Where the model's files are on this machine: its directory, or its place in the Hub cache."""
    if source.is_local:
        return Path(source.location) if Path(source.location).is_dir() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(source.location, "config.json", revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def torchvision_fault() -> str | None:
    """Why the installed torchvision does not import; ``None`` where it does, or is not there.

    One of another build than torch's does not import, and breaks transformers wherever it is.
    """
    try:
        if is_installed("torchvision"):
            importlib.import_module("torchvision")
    except Exception as error:  # its import fails in many ways beside a torch of another build
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[0][:80] if lines else type(error).__name__
    return None


def how_to_install(packages: Iterable[str]) -> str:
    """The line that installs ``packages``, each fit for the torch that is here."""
    wanted = list(packages)
    others = [package for package in wanted if package != "torchvision"]
    lines = [f"pip install {' '.join(others)}"] if others else []
    return " && ".join([*lines, *([_torchvision_line()] if "torchvision" in wanted else [])])


def _torchvision_line() -> str:
    """Pinned to torch's own release: pip would otherwise put another torch in its place."""
    torch = importlib.metadata.version("torch")
    major, minor = release(torch)
    name = f'"torchvision==0.{minor + _BEHIND}.*"' if major == 2 else "torchvision"
    again = "--force-reinstall --no-deps " if is_installed("torchvision") else ""
    line = f"pip install {again}{name}"
    # A build with a name of its own, such as 2.13.0+cpu, came from an index of its own.
    where = f" --index-url INDEX (the one that torch {torch} came from)" if "+" in torch else ""
    return line + where


def check_torchvision(name: str) -> None:
    """Raise :class:`MissingPackageError` if the torchvision here keeps model ``name`` from loading.

    Raises:
        MissingPackageError: it is installed and does not import.
    """
    fault = torchvision_fault()
    if fault is not None:
        raise MissingPackageError(
            f"{name} cannot be loaded: the torchvision that is installed does not import: {fault}",
            hint=f"{how_to_install(['torchvision'])}, or pip uninstall torchvision",
        )


def check_processor(name: str, processor: str | None) -> None:
    """Raise :class:`MissingPackageError` if ``processor``, of model ``name``, cannot be made here.

    Raises:
        MissingPackageError: a package is missing, named with the line that installs it.
    """
    missing = missing_packages(processor) if processor is not None else ()
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingPackageError(
            f"{processor}, which prepares pictures for {name}, needs {' and '.join(missing)}, "
            f"which {verb} not installed",
            hint=how_to_install(missing),
        )
