"""What loading fails with, as one clear line and a way forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

from v2drop_cli.errors import DeviceMemoryError, MissingPackageError, ModelError, V2DropError
from v2drop_cli.models.packages import check_torchvision

if TYPE_CHECKING:
    from v2drop_cli.models.names import Source

T = TypeVar("T")


def guarded(source: Source, action: Callable[[], T]) -> T:
    """Run a loader and turn its many ways of failing into one clear line.

    Raises:
        ModelError: whatever went wrong; DeviceMemoryError: there was not enough memory.
    """
    try:
        return action()
    except V2DropError:
        raise
    except ImportError as error:
        check_torchvision(source.name)
        raise MissingPackageError(
            f"{source.name} needs a package that is not installed: {first_line(error)}",
            hint="v2drop doctor --model MODEL lists what is missing; "
            "flash kernels: pip install flash-attn --no-build-isolation",
        ) from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceMemoryError(
            f"out of memory loading {source.name}",
            hint="try --dtype bfloat16, a smaller model, or --device cpu",
        ) from error
    except Exception as error:  # of four libraries, each with errors of its own
        raise _load_error(source, error) from error


@contextmanager
def processing(name: str) -> Iterator[None]:
    """Turn what a processor fails with into one clear line: it is built from files, as they are.

    Raises:
        ModelError: the processor of model ``name`` failed in a way of its own.
    """
    try:
        yield
    except (V2DropError, MemoryError):
        raise
    except Exception as error:  # of processors, image processors, tokenizers and templates
        raise ModelError(
            f"the processor of {name} failed on this prompt: {type(error).__name__}: "
            f"{first_line(error)}",
            hint="its preprocessor or tokenizer files may be of another model or version: fetch "
            "them again; --debug shows where it failed",
        ) from error


def _load_error(source: Source, error: Exception) -> ModelError:
    text = str(error)
    if "no file named model.safetensors" in text or "use_safetensors" in text:
        return ModelError(
            f"{source.location} has pickle weights only, and loading a pickle can run code",
            hint="convert it to safetensors, or pass --allow-pickle if you trust its author",
        )
    if "trust_remote_code" in text:
        return ModelError(
            f"{source.location} brings its own code, which is not run by default",
            hint="read it, then pass --trust-remote-code",
        )
    if "conversion of the weights" in text:
        return ModelError(
            f"cannot load {source.location}: its tensors do not make up this architecture's, such "
            "as experts of which some are missing",
            hint="fetch the checkpoint again, every file of it",
        )
    if source.is_local:
        return ModelError(
            f"cannot load {source.location}: {first_line(error)}",
            hint="a model directory holds config.json, *.safetensors and the processor's files",
        )
    if "does not appear to have a file named" in text:
        return ModelError(
            f"{source.location} cannot be loaded: {first_line(error)}",
            hint="served are repositories in the format of transformers: no GGUF files, no adapter "
            "without its model, no weights alone",
        )
    return ModelError(
        f"cannot get {source.location} from the Hub: {first_line(error)}",
        hint="no network? copy its files here and pass the directory as --model, set HF_HOME to a "
        f"cache that has it, {dummy_hint(source)} for timings, or --model tiny",
    )


def dummy_hint(source: Source) -> str:
    """How to do without this model's weights: not all configurations are shipped."""
    if source.config is not None:
        return "use --weights dummy"
    return "pass a config.json of it as --model with --weights dummy"


def first_line(error: Exception) -> str:
    """The first line of an error's text that says anything, else the error's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
