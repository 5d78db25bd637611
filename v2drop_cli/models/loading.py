"""Load a model and its processor: embedded, from the Hub, from a path, or with dummy weights.

Safe by default: safetensors only, no remote code. The Hub's own environment variables
(``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` …) are honoured by the libraries below.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.errors import DeviceMemoryError, V2DropError
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.bits import Bits
from v2drop_cli.models.checkpoint_files import check_files
from v2drop_cli.models.decoders import unproven_caveats
from v2drop_cli.models.devices import free_memory, pick_device, pick_dtype
from v2drop_cli.models.dummy import dummy_model, dummy_processor, read_config_file
from v2drop_cli.models.fake_quant import fake_quantize
from v2drop_cli.models.generation import set_aside
from v2drop_cli.models.library_talk import listening
from v2drop_cli.models.load_errors import guarded
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import Source, resolve
from v2drop_cli.models.processors import complete, load_processor
from v2drop_cli.models.registry import family_for
from v2drop_cli.models.splitting import check_split, main_device, parts_of, split_caveats
from v2drop_cli.models.synthetic.prompt import maker
from v2drop_cli.models.weights import auto_class, load_trained
from v2drop_cli.records import Caveat, CaveatKind
from v2drop_cli.units import format_bytes


def load(model: str = "tiny", options: LoadOptions | None = None, **changes: Any) -> LoadedModel:
    """A model ready to answer, in eval mode. Nothing is printed, no progress bar either.

    What libraries warn of meanwhile stands in the model's ``caveats``.

    Args:
        model: an alias (``v2drop models``), a Hub id or a local path.
        options: how to load; or its fields by keyword:
        **changes: fields of :class:`~v2drop_cli.models.loading_options.LoadOptions`.

    Raises:
        UnknownNameError: unknown model, dtype, weights or attention implementation.
        ModelError: cannot be found, downloaded or read, or lacks weights; UnsupportedModelError:
            no family serves it.
        DeviceError: no such device; DeviceMemoryError: too small for the weights.
    """
    options = LoadOptions(**changes) if options is None else options
    options.check(model)
    source = resolve(model)
    try:
        with _no_progress_bars(), listening() as talk:
            loaded = _load(model, source, options)
    except V2DropError as error:
        if source.shadowed is not None:
            error.hint = "; ".join(filter(None, (_shadowing(source.shadowed).message, error.hint)))
        raise
    caveats = (*_shadow_caveat(source), *loaded.caveats, *talk.caveats)
    return replace(loaded, caveats=caveats)


def _load(model: str, source: Source, options: LoadOptions) -> LoadedModel:
    device = pick_device(options.device)
    caveats = check_files(source, options)
    config = _config(source, options)
    family = family_for(config, allow_unproven=options.allow_unproven)
    if options.accepts is not None:
        options.accepts(config)
    if options.synthetic is not None:
        maker(options.synthetic, family)
    dtype = pick_dtype(options.dtype, device, config)
    check_split(config, device, options)
    guarded(source, lambda: _check_fits(config, device, dtype, model, options))
    processor = guarded(source, lambda: _processor(source, config, options))
    if processor is not None:
        caveats += complete(processor, config)
    if options.weights == "dummy":
        loaded = guarded(source, lambda: dummy_model(config, device, dtype, options))
    else:
        loaded, found = guarded(
            source, lambda: load_trained(source, dtype, options, config.model_type)
        )
        caveats += found
    device = _place(loaded, device, options)
    caveats += split_caveats(loaded, device, parts_of(options))
    if options.fake_quant is not None:
        fake_quantize(loaded, family, Bits.parse(options.fake_quant))
        caveats += (CaveatKind.FAKE_QUANT.caveat(bits=options.fake_quant),)
    return LoadedModel(
        model=loaded,
        processor=processor,
        family=family,
        device=device,
        dtype=dtype,
        source=model if model == "tiny" else source.location,
        revision=getattr(config, "_commit_hash", None),
        weights=options.weights,
        caveats=(*caveats, *set_aside(loaded), *unproven_caveats(config)),
        allow_unproven=options.allow_unproven,
        fake_quant=options.fake_quant,
        parts=parts_of(options),
    )


def _shadow_caveat(source: Source) -> tuple[Caveat, ...]:
    """A word on a model in this directory that has the alias's name: it may have been meant."""
    if source.shadowed is None or not (source.shadowed / "config.json").is_file():
        return ()
    return (_shadowing(source.shadowed),)


def _shadowing(folder: Path) -> Caveat:
    return CaveatKind.ALIAS_SHADOWS_FOLDER.caveat(name=folder.name)


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


def config_of(model: str) -> Any:
    """The configuration that ``model`` would be loaded with, without anything else of it.

    Raises:
        UnknownNameError: no such model; ModelError: its configuration cannot be had.
    """
    source = resolve(model)
    if source.config is not None:
        return read_config_file(source.config)
    return _config(source, LoadOptions())


def _config(source: Source, options: LoadOptions) -> Any:
    from transformers import AutoConfig

    if options.weights == "dummy" and source.config is not None:
        return read_config_file(source.config)
    return guarded(
        source,
        lambda: AutoConfig.from_pretrained(
            source.location,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
        ),
    )


def _processor(source: Source, config: Any, options: LoadOptions) -> Any:
    if options.weights != "dummy":
        return load_processor(source, options, config.model_type)
    return None if options.synthetic else dummy_processor(source, config, options)


def _place(model: Any, device: torch.device, options: LoadOptions) -> torch.device:
    """Put it on ``device``, unless it is spread over several; return where it takes inputs."""
    model.eval()
    if options.device_map is not None:
        return main_device(model)
    if all(_is_on(parameter.device, device) for parameter in model.parameters()):
        return device  # some quantized weights are in place from loading, and cannot be moved
    try:
        model.to(device)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"out of memory moving the weights to {device}: "
            f"{format_bytes(free_memory(device))} free",
            hint="try --dtype bfloat16, a smaller model, or --device cpu",
        ) from error
    return device


def _is_on(device: torch.device, wanted: torch.device) -> bool:
    return device.type == wanted.type and wanted.index in (None, device.index)


def _check_fits(
    config: Any, device: torch.device, dtype: torch.dtype, name: str, options: LoadOptions
) -> None:
    """Refuse weights, or a process's part of them, that cannot fit, before minutes are spent.

    Those that are spread over devices go where there is room.

    How large quantized ones are is for their quantizer to know.
    """
    if options.device_map is not None or getattr(config, "quantization_config", None) is not None:
        return
    with torch.device("meta"):
        skeleton = auto_class(config.model_type).from_config(config)
    size = torch.empty((), dtype=dtype).element_size()
    needed = (
        sum(parameter.numel() for parameter in skeleton.parameters()) * size // parts_of(options)
    )
    free = free_memory(device)
    if free is not None and needed > free:
        raise DeviceMemoryError(
            f"{name} needs {format_bytes(needed)} for its weights in {str(dtype)[6:]}; "
            f"{device} has {format_bytes(free)} free",
            hint="try --dtype bfloat16, a smaller model, or another --device",
        )
