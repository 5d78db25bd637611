"""Which files a name means: one file, or those of one split of what a folder holds.

Folders are understood as ``datasets`` understands them: one that ``save_to_disk`` wrote, one of
pictures with a ``metadata`` file, or one of Parquet or Arrow files, whose split is in their names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from v2drop_cli.errors import UsageError, reason_of, unknown_name

TABLES = (".parquet", ".arrow")
TEXTS = (".jsonl", ".csv")
HINT = (
    "DATA is a JSONL or Parquet file, a folder of Parquet files, one that save_to_disk wrote, one "
    "of pictures with metadata.jsonl or metadata.csv, or a built-in task: shapes"
)
_METADATA = tuple(f"metadata{suffix}" for suffix in (*TEXTS, ".parquet"))
_DEEPEST = 4
"""Folders below the named one: repository, configuration, split, shards."""
_SAME = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_KNOWN = {word: split for split, words in _SAME.items() for word in words}
_SHARD = re.compile(r"(?:.*-)?(?P<split>[\w.]+)-\d{5}-of-\d{5}(?:-\w+)?")
_WORDS = re.compile(r"[-._ 0-9]+")
_REST = "rest"
"""What files are called whose names tell no split, beside others that do."""


class Found(NamedTuple):
    """The files of one split, in order; ``split`` is ``None`` where there is no choice."""

    files: tuple[Path, ...]
    split: str | None


def find(name: str, split: str | None) -> Found:
    """The files that ``name`` means.

    Raises:
        UsageError: there are none, or several splits and none is named.
    """
    path = Path(name)
    if not path.is_dir():
        if split is not None:
            raise UsageError(
                f"--split {split}: {name} is no folder of splits", hint="leave --split out"
            )
        return Found((path,), None)
    if (path / "dataset_dict.json").is_file():
        splits = _texts(name, _read(name, path / "dataset_dict.json"), "splits")
        chosen = _chosen(name, {one: [path / one] for one in splits}, split)
        return Found(_saved(name, chosen.files[0]), chosen.split)
    if (path / "state.json").is_file():
        return _chosen(name, {_REST: list(_saved(name, path))}, split)
    for files in (_metadata(name, path), _tables(path)):
        if files:
            return _chosen(name, _by_split(path, files), split)
    raise UsageError(f"{name} is a folder without questions", hint=HINT)


def split_of(path: Path) -> str | None:
    """The split that a file belongs to, by its folder or else its name, as ``datasets`` has it.

    >>> split_of(Path("data/testdev-00000-of-00002.parquet")), split_of(Path("val/a.parquet"))
    ('testdev', 'validation')
    """
    shard = _SHARD.fullmatch(path.stem)
    if shard is not None:
        return _KNOWN.get(shard["split"], shard["split"])
    for part in (*reversed(path.parent.parts), path.stem):
        for word in _WORDS.split(part.lower()):
            if word in _KNOWN:
                return _KNOWN[word]
    return None


def _by_split(folder: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(split_of(file.relative_to(folder)) or _REST, []).append(file)
    return found


def _chosen(name: str, groups: Mapping[str, list[Path]], split: str | None) -> Found:
    """The files of the split that is wanted, or of the only one."""
    if split is not None:
        wanted = split if split in groups else _KNOWN.get(split, split)
        if wanted not in groups:
            raise UsageError(
                f"{name} has no split {split!r}", hint=unknown_name("split", split, groups).hint
            )
        return Found(tuple(groups[wanted]), wanted)
    if len(groups) != 1:
        known = ", ".join(groups)
        raise UsageError(
            f"{name} has several splits: {known}" if groups else f"{name} has no splits",
            hint=f"--split {next(iter(groups))}, or another" if groups else HINT,
        )
    [(only, files)] = groups.items()
    return Found(tuple(files), None if only == _REST else only)


def _saved(name: str, folder: Path) -> tuple[Path, ...]:
    """The files that ``save_to_disk`` wrote into ``folder``."""
    state = _read(name, folder / "state.json")
    if state.get("_indices_data_files"):
        raise UsageError(
            f"{name} keeps the order of its rows apart from them, which is not read",
            hint="save it again: datasets.load_from_disk(…).flatten_indices().save_to_disk(…)",
        )
    files = state.get("_data_files")
    listed = files if isinstance(files, list) else []
    names = [one.get("filename") if isinstance(one, dict) else None for one in listed]
    return tuple(folder / one for one in _texts(name, {"_data_files": names}, "_data_files"))


def _texts(name: str, values: Mapping[str, Any], key: str) -> list[str]:
    """File names that a description lists; all of them are in the folder."""
    found = values.get(key)
    sound = (
        isinstance(found, list)
        and found
        and all(
            isinstance(one, str) and one and "\0" not in one and Path(one).name == one
            for one in found
        )
    )
    if not sound:
        raise UsageError(f"{name} says nothing of its {key}: it is not whole", hint=HINT)
    return [str(one) for one in found or ()]


def _read(name: str, path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{name} cannot be read: {path.name}: {reason_of(error)}", hint=HINT
        ) from None
    return value if isinstance(value, dict) else {}


def _metadata(name: str, folder: Path) -> list[Path]:
    """The ``metadata`` files here and in folders below: one of them in each."""
    found = [path for path in _walk(folder) if path.name in _METADATA]
    folders = [path.parent for path in found]
    for path in found:
        if folders.count(path.parent) > 1:
            both = " and ".join(one.name for one in found if one.parent == path.parent)
            raise UsageError(
                f"{name} has both {both} in one folder", hint="name the one that is meant"
            )
    return found


def _tables(folder: Path) -> list[Path]:
    return [path for path in _walk(folder) if path.suffix.lower() in TABLES]


def _walk(folder: Path) -> Iterator[Path]:
    """Files by name, folder by folder; hidden ones are left out, and links to folders."""
    for here, folders, files in os.walk(folder):
        deep = len(Path(here).relative_to(folder).parts)
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        if deep >= _DEEPEST:
            folders.clear()
        yield from (Path(here) / one for one in sorted(files) if not one.startswith("."))
