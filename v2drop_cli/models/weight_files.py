"""Weights on disk: are they all there, and all of each?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from v2drop_cli.errors import ModelError

# As transformers names them, in the order it looks for them: (one file, index of several).
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# A header of more is no header.
_LONGEST_HEADER = 100_000_000
_POINTER = b"version https://git-lfs"
_AGAIN = "fetch it again: the download or the copy did not finish"


def check_weights(folder: Path, allow_pickle: bool) -> None:
    """Whether the files that hold a local checkpoint's weights are there, each of full length.

    Raises:
        ModelError: there are none, or one is missing, cut short or no such file.
    """
    files = _weights(folder, *_SAFE)
    if not files and allow_pickle:
        files = _weights(folder, *_PICKLED)
    if not files:
        raise _nothing(folder, allow_pickle)
    check_pointers(folder, files)
    for path in files:
        if path.suffix == ".safetensors":
            _check_safetensors(path)


def check_pointers(folder: Path, files: Iterable[Path]) -> None:
    """Raise :class:`ModelError` if one of ``files`` only says where git-lfs keeps the file."""
    pointers = [path for path in files if _begins(path).startswith(_POINTER)]
    if pointers:
        more = f" (and {len(pointers) - 1} more)" if len(pointers) > 1 else ""
        raise ModelError(
            f"{pointers[0].name} in {folder} is a git-lfs pointer, not the file itself{more}",
            hint=f"run git lfs pull in {folder}",
        )


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER))
    except OSError:
        return b""


def _weights(folder: Path, single: str, index: str) -> list[Path]:
    if (folder / single).exists():
        return [folder / single]
    return _shards(folder / index) if (folder / index).exists() else []


def _shards(index: Path) -> list[Path]:
    """The files that an index names.

    Raises:
        ModelError: it names none, or one that is not there.
    """
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [index.parent / name for name in sorted(named)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{index} is no index of weights: {type(error).__name__}: {error}",
            hint="fetch the file again",
        ) from error
    missing = [path.name for path in files if not path.exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{index.parent} is incomplete: {missing[0]}{more} of the {len(files)} files that "
            f"{index.name} names is not there",
            hint="fetch the rest of the checkpoint into the same directory",
        )
    return files


def _nothing(folder: Path, allow_pickle: bool) -> ModelError:
    """Say what is there instead of weights that can be loaded."""
    dangling = [path.name for path in sorted(folder.iterdir()) if not path.exists()]
    if dangling:
        return ModelError(
            f"{folder}/{dangling[0]} is a link to a file that is not there",
            hint="fetch the checkpoint again, or copy the files that its links lead to",
        )
    if not allow_pickle and (list(folder.glob("*.bin")) or list(folder.glob("*.pt*"))):
        return ModelError(
            f"{folder} has pickle weights only, and loading a pickle can run code",
            hint="convert it to safetensors, or pass --allow-pickle if you trust its author",
        )
    others = [p.name for p in sorted((*folder.glob("*.safetensors"), *folder.glob("*.gguf")))]
    if others:
        return ModelError(
            f"{folder} has no {_SAFE[0]} and no index of several, only {', '.join(others[:3])}",
            hint="fetch the index too, or rename a single file; GGUF files are not served",
        )
    return ModelError(
        f"{folder} has no weights",
        hint="it should hold *.safetensors files; --weights dummy does without, for timings",
    )


def _check_safetensors(path: Path) -> None:
    """Hold a file's length against what its header promises.

    Raises:
        ModelError: it is shorter, or no safetensors file at all.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > _LONGEST_HEADER:
            raise ModelError(f"{path} is no safetensors file ({size} bytes)", hint=_AGAIN)
        header = file.read(length)
    promised = 8 + length + (_data_bytes(path, header) if len(header) == length else 1)
    if size < promised:
        raise ModelError(f"{path} is cut short: {size} of {promised} bytes at least", hint=_AGAIN)


def _data_bytes(path: Path, header: bytes) -> int:
    """Bytes of the tensors that a header lists."""
    try:
        entries = json.loads(header)
        ends = [e["data_offsets"][1] for name, e in entries.items() if name != "__metadata__"]
        return max(map(int, ends), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(
            f"{path} is no safetensors file: its header is broken", hint=_AGAIN
        ) from error
