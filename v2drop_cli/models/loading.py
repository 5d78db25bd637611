"""Load a model and its processor: embedded, from the Hub, from a path, or with dummy weights.

Safe by default: safetensors only, no remote code. The Hub's own environment variables
(``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` …) are honoured by the libraries below.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.errors import DeviceMemoryError, ModelError
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.decoders import unproven, unproven_caveat
from v2drop_cli.models.devices import free_memory, pick_device, pick_dtype
from v2drop_cli.models.dummy import dummy_model, dummy_processor, read_config_file
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.registry import Source, family_for, resolve
from v2drop_cli.models.synthetic.prompt import maker
from v2drop_cli.units import format_bytes


def load(model: str = "tiny", options: LoadOptions | None = None, **changes: Any) -> LoadedModel:
    """A model ready to answer, in eval mode. Nothing is printed, no progress bar either.

    Args:
        model: an alias (``v2drop models``), a Hub id or a local path.
        options: how to load; or its fields by keyword:
        **changes: fields of :class:`~v2drop_cli.models.loading_options.LoadOptions`.

    Raises:
        UnknownNameError: unknown model, dtype, weights or attention implementation.
        ModelError: cannot be found, downloaded or read; UnsupportedModelError: no family.
        DeviceError: no such device; DeviceMemoryError: too small for the weights.
    """
    options = LoadOptions(**changes) if options is None else options
    options.check(model)
    with _no_progress_bars():
        return _load(model, options)


def _load(model: str, options: LoadOptions) -> LoadedModel:
    source = resolve(model)
    device = pick_device(options.device)
    config = _config(source, options)
    family = family_for(config, allow_unproven=options.allow_unproven)
    decoder = unproven(config)
    if options.synthetic is not None:
        maker(options.synthetic, family)
    dtype = pick_dtype(options.dtype, device, config)
    _check_fits(config, device, dtype, model)
    if options.weights == "dummy":
        processor = None if options.synthetic else dummy_processor(source, config)
        loaded = _guarded(source, lambda: dummy_model(config, device, dtype, options))
    else:
        processor = _processor(source, options)
        loaded = _guarded(source, lambda: _trained(source, dtype, options))
    _place(loaded, device)
    return LoadedModel(
        model=loaded,
        processor=processor,
        family=family,
        device=device,
        dtype=dtype,
        source=model if model == "tiny" else source.location,
        revision=getattr(config, "_commit_hash", None),
        weights=options.weights,
        caveats=() if decoder is None else (unproven_caveat(decoder),),
        allow_unproven=options.allow_unproven,
    )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Without transformers' bars, and the Hub's with them; afterwards as before."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _config(source: Source, options: LoadOptions) -> Any:
    from transformers import AutoConfig

    if options.weights == "dummy" and source.config is not None:
        return read_config_file(source.config)
    return _guarded(
        source,
        lambda: AutoConfig.from_pretrained(
            source.location,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
        ),
    )


def _processor(source: Source, options: LoadOptions) -> Any:
    from transformers import AutoProcessor

    return _guarded(
        source,
        lambda: AutoProcessor.from_pretrained(
            source.location,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
        ),
    )


def _trained(source: Source, dtype: torch.dtype, options: LoadOptions) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(
        source.location,
        dtype=dtype,
        attn_implementation=options.attn_implementation,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        use_safetensors=None if options.allow_pickle else True,
    )


def _place(model: Any, device: torch.device) -> None:
    try:
        model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"out of memory moving the weights to {device}: "
            f"{format_bytes(free_memory(device))} free",
            hint="try --dtype bfloat16, a smaller model, or --device cpu",
        ) from error


def _check_fits(config: Any, device: torch.device, dtype: torch.dtype, name: str) -> None:
    """Refuse weights that cannot fit, before minutes are spent on them."""
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        skeleton = AutoModelForImageTextToText.from_config(config)
    size = torch.empty((), dtype=dtype).element_size()
    needed = sum(parameter.numel() for parameter in skeleton.parameters()) * size
    free = free_memory(device)
    if free is not None and needed > free:
        raise DeviceMemoryError(
            f"{name} needs {format_bytes(needed)} for its weights in {str(dtype)[6:]}; "
            f"{device} has {format_bytes(free)} free",
            hint="try --dtype bfloat16, a smaller model, or another --device",
        )


def _guarded(source: Source, action: Any) -> Any:
    """Run a loader and turn its many ways of failing into one clear line."""
    try:
        return action()
    except ImportError as error:
        raise ModelError(
            f"{source.name} needs a package that is not installed: {_first_line(error)}",
            hint="v2drop doctor lists what is missing; "
            "flash kernels: pip install flash-attn --no-build-isolation",
        ) from error
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"out of memory loading {source.name}",
            hint="try --dtype bfloat16, a smaller model, or --device cpu",
        ) from error
    except Exception as error:  # of four libraries, each with errors of its own
        raise _load_error(source, error) from error


def _load_error(source: Source, error: Exception) -> ModelError:
    text = str(error)
    if "no file named model.safetensors" in text or "use_safetensors" in text:
        if source.is_local and not list(Path(source.location).glob("*.bin")):
            return ModelError(
                f"{source.location} has no weights", hint="it should hold *.safetensors files"
            )
        return ModelError(
            f"{source.location} has pickle weights only, and loading a pickle can run code",
            hint="convert it to safetensors, or pass --allow-pickle if you trust its author",
        )
    if source.is_local:
        return ModelError(
            f"cannot load {source.location}: {_first_line(error)}",
            hint="a model directory holds config.json, *.safetensors and the processor's files",
        )
    if "trust_remote_code" in text:
        return ModelError(
            f"{source.location} brings its own code, which is not run by default",
            hint="read it, then pass --trust-remote-code",
        )
    return ModelError(
        f"cannot get {source.location} from the Hub: {_first_line(error)}",
        hint="no network? copy its files here and pass the directory as --model, set HF_HOME to a "
        f"cache that has it, {dummy_hint(source)} for timings, or --model tiny",
    )


def dummy_hint(source: Source) -> str:
    """How to do without this model's weights: not all configurations are shipped."""
    if source.config is not None:
        return "use --weights dummy"
    return "pass a config.json of it as --model with --weights dummy"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
