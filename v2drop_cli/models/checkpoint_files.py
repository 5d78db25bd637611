"""A local checkpoint's files, looked at before a library reads them.

Libraries fail on half a checkpoint in many ways, few of which name the file. Only beginnings of
files are read here, so that this costs nothing.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import ModelError
from v2drop_cli.models.registry import family_types, unserved
from v2drop_cli.models.weight_files import check_pointers, check_weights
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.names import Source

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf")
# One file of each row is enough for a processor.
_PROCESSOR = {
    "tokenizer": ("tokenizer.json", "*.model", "vocab.*", "tekken.json", "*.tiktoken"),
    "image processor": ("preprocessor_config.json", "processor_config.json"),
}
_SMALL = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
_IT_HOLDS = "a model directory holds config.json, *.safetensors and the processor's files"
_GGUF = "GGUF is for llama.cpp: pass the safetensors checkpoint that it was made from"


def check_files(source: Source, options: LoadOptions) -> tuple[Caveat, ...]:
    """Look at a local source; what is on the Hub is left to the libraries.

    Raises:
        ModelError: it cannot be loaded, and why.
    """
    if not source.is_local:
        return ()
    path, trained = Path(source.location), options.weights == "trained"
    if path.is_file():
        _check_single(path, trained)
        return ()
    check_pointers(path, [item for pattern in _SMALL for item in sorted(path.glob(pattern))])
    if not (path / "config.json").is_file():
        raise _no_config(path)
    config = _check_config(path / "config.json", options.trust_remote_code)
    if not trained:
        return ()
    caveats = _check_adapter(path)
    if "transformers_weights" not in config:  # which names files of its own
        check_weights(path, options.allow_pickle)
    if not options.trust_remote_code:
        check_processor_files(path)
    return caveats


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ModelError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not JSON: {str(error).splitlines()[0]}", hint="fetch the file again"
        ) from error


def _check_single(path: Path, trained: bool) -> None:
    """A file as --model: a configuration, for dummy weights, and nothing else."""
    if path.suffix == ".gguf":
        raise ModelError(f"{path} is a GGUF file, which is not served", hint=_GGUF)
    if path.suffix in _WEIGHTS:
        raise ModelError(
            f"{path} is one file of weights; --model takes the directory around it", hint=_IT_HOLDS
        )
    check_pointers(path.parent, [path])
    if trained:
        raise ModelError(
            f"{path} is a single file, and trained weights need a model directory",
            hint="pass the directory around it, or --weights dummy for a config.json alone",
        )


def _no_config(path: Path) -> ModelError:
    """Why there may be no config.json here."""
    if (path / "model_index.json").is_file():
        return ModelError(
            f"{path} is a diffusers pipeline, no vision-language model",
            hint="v2drop models lists what is served",
        )
    if (path / "adapter_config.json").is_file():
        return _adapter(path)
    if list(path.glob("*.gguf")):
        return ModelError(f"{path} holds GGUF files only, which are not served", hint=_GGUF)
    if (path / "params.json").is_file():
        return ModelError(
            f"{path} is in its authors' own format (params.json), without a config.json",
            hint="get the checkpoint of the same model in the format of transformers",
        )
    inside = sorted(config.parent for config in path.glob("*/config.json"))
    inside += sorted(config.parent for config in path.glob("snapshots/*/config.json"))
    if inside:
        return ModelError(f"{path} has no config.json", hint=f"did you mean {inside[0]}?")
    what = "has no config.json" if any(path.iterdir()) else "is an empty directory"
    return ModelError(f"{path} {what}", hint=_IT_HOLDS)


def _adapter(path: Path) -> ModelError:
    base = read_json(path / "adapter_config.json")
    name = base.get("base_model_name_or_path") if isinstance(base, dict) else None
    return ModelError(
        f"{path} is an adapter (adapter_config.json) without the model it adapts",
        hint=f"merge it into {name or 'its base model'} first: load both with peft, then "
        "merge_and_unload() and save_pretrained, and copy the processor's files",
    )


def _check_adapter(path: Path) -> tuple[Caveat, ...]:
    """An adapter beside a config.json: with peft transformers applies it, without it does not."""
    if not (path / "adapter_config.json").is_file():
        return ()
    if not any(path.glob("model*.safetensors")) and not any(path.glob("pytorch_model*.bin")):
        raise _adapter(path)
    if importlib.util.find_spec("peft"):
        return ()
    return (CaveatKind.ADAPTER_NOT_APPLIED.caveat(path=path),)


def _check_config(path: Path, trust_remote_code: bool) -> dict[str, Any]:
    values: Any = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind is None:
        raise ModelError(
            f"{path} names no model_type",
            hint="is it the config.json of a transformers model? convert it to one, or fetch it "
            "again",
        )
    if not isinstance(kind, str):
        raise ModelError(f"{path} has a model_type that is no name: {kind!r}")
    # Its own code may call a model of that type what it likes.
    if kind not in family_types() and not (trust_remote_code and "auto_map" in values):
        raise unserved(kind)
    return dict(values)


def check_processor_files(path: Path) -> None:
    """Look for one file at least of each part of a processor.

    Raises:
        ModelError: a part has none.
    """
    for part, names in _PROCESSOR.items():
        if not _has_one(path, names):
            raise ModelError(
                f"{path} has no {part}: none of {', '.join(names)}",
                hint="copy the tokenizer and preprocessor files of the model it was made from; "
                "tools for fine-tuning often save the weights alone",
            )


def _has_one(path: Path, names: Sequence[str]) -> bool:
    return any(True for name in names for _ in path.glob(name))
