"""Parquet and Arrow files, a few rows at a time: what ``datasets`` and the Hub keep tables in.

Of a Parquet file a page of each wanted column is in memory, which is a row group as ``datasets``
writes them; of an Arrow file, which is mapped, what is looked at. What Arrow itself does not say
of a column, ``datasets`` writes into the file's metadata: which numbers stand for names, above all.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from v2drop_cli.errors import MissingPackageError, UsageError
from v2drop_cli.tasks.tables import column as kinds
from v2drop_cli.tasks.tables.column import LIST, Column

ROWS = 16
"""So many rows are made of columns at once."""
_BUFFER = 2**20
"""Bytes that are read of a column at once; without it a row group of it may be."""
_MAGIC = b"ARROW1"
HINT = "is it whole? download or save it again"


class ArrowFile:
    """One file.

    Args:
        name: what messages call it.
        path: where it is.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._pa, self._parquet, self._ipc = (
            _imported(name, module) for module in ("pyarrow", "pyarrow.parquet", "pyarrow.ipc")
        )

    def columns(self) -> Mapping[str, Column]:
        """Its columns by name. Of two with one name neither can be used.

        Raises:
            UsageError: it cannot be read.
        """
        with self._reading():
            schema = self._schema()
            told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
            features = _at(_at(told, "info"), "features")
            names = [one.name for one in schema]
            found = {one.name: self._column((), one, _at(features, one.name)) for one in schema}
            twice = {name for name in names if names.count(name) > 1}
            return found | {
                name: Column(name, kinds.OTHER, "two columns of one name") for name in twice
            }

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """All rows with the columns ``names``, of which no more than ``ROWS`` are held.

        Raises:
            UsageError: it cannot be read on.
        """
        read = self._parquet_batches if self._is_parquet else self._arrow_batches
        with self._reading():
            for batch in read(names):
                batch.validate(full=True)  # a damaged one could otherwise crash the interpreter
                yield from batch.select(names).to_pylist()

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def _schema(self) -> Any:
        if self._is_parquet:
            with self._parquet.ParquetFile(self.path) as file:
                return file.schema_arrow
        with self._mapped() as (reader, _):
            return reader.schema

    def _parquet_batches(self, names: Sequence[str]) -> Iterator[Any]:
        with self._parquet.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield from file.iter_batches(ROWS, columns=list(names), use_threads=False)

    def _arrow_batches(self, names: Sequence[str]) -> Iterator[Any]:
        with self._mapped() as (_, batches):
            for batch in batches:
                wanted = batch.select(names)
                for start in range(0, wanted.num_rows, ROWS):
                    yield wanted.slice(start, ROWS)

    @contextmanager
    def _mapped(self) -> Iterator[tuple[Any, Iterator[Any]]]:
        """The reader, and its batches: Arrow has a form for streams and one for files."""
        with self._pa.memory_map(str(self.path)) as mapped:
            if mapped.read(len(_MAGIC)) == _MAGIC:
                with self._ipc.open_file(mapped) as reader:
                    count = reader.num_record_batches
                    yield reader, (reader.get_batch(number) for number in range(count))
            else:
                mapped.seek(0)
                with self._ipc.open_stream(mapped) as reader:
                    yield reader, iter(reader)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever a damaged file does to its reader, callers see one error."""
        try:
            yield
        except MemoryError:
            raise UsageError(
                f"{self.name} cannot be read: it wants more memory than there is", hint=HINT
            ) from None
        except (self._pa.ArrowException, OSError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UsageError(f"{self.name} cannot be read: {reason}", hint=HINT) from error

    def _column(self, above: tuple[str, ...], field: Any, feature: Any) -> Column:
        """``field`` as a column; ``feature`` is what ``datasets`` says of it."""
        path = (*above, field.name)
        kind, inner, parts = _bare(field.type), _inner(feature), {}
        several = _is_list(kind)
        if several:
            kind = _bare(kind.value_type)
        if self._pa.types.is_struct(kind):
            parts = {one.name: self._column(path, one, _at(inner, one.name)) for one in kind}
        if several:
            parts = {name: _of_a_list(part) for name, part in parts.items()}
        word = _kind(kind, inner)
        plain = partial(_plain, field.type, feature)
        holds = f"ClassLabel of {field.type}" if word == kinds.LABEL else str(field.type)
        return Column(".".join(path), LIST + word if several else word, holds, parts, plain, path)


def _of_a_list(part: Column) -> Column:
    """A part of a list's elements: its value is the list of theirs."""
    parts = {name: _of_a_list(inner) for name, inner in part.parts.items()}
    return replace(part, kind=LIST + part.kind, holds=f"a list of {part.holds}", parts=parts)


def _imported(name: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        why = "is not installed" if missing else f"does not import: {error}"
        raise MissingPackageError(
            f"{name} is read by pyarrow, which {why}", hint="pip install pyarrow"
        ) from None


def _at(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _inner(feature: Any) -> Any:
    """What ``datasets`` says of a list's elements, in ``[…]`` or ``{"feature": …}``."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    inner = _at(feature, "feature") if _at(feature, "_type") is not None else None
    return feature if inner is None else inner


def _names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel."""
    names = _at(feature, "names") if _at(feature, "_type") == "ClassLabel" else None
    return names if isinstance(names, list) else None


def _bare(kind: Any) -> Any:
    """The type of the values: repeated ones may be kept once, and numbered."""
    return getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    tests = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return any(getattr(types, test)(kind) for test in tests if hasattr(types, test))


def _kind(kind: Any, feature: Any) -> str:
    """The word for what a column, or a list's element, holds."""
    from pyarrow import types

    if types.is_integer(kind):
        return kinds.WHOLE if _names(feature) is None else kinds.LABEL
    if types.is_floating(kind) or types.is_decimal(kind):
        return kinds.NUMBER
    if types.is_struct(kind):
        return kinds.FILE if {one.name for one in kind} <= {"bytes", "path"} else kinds.STRUCT
    if types.is_null(kind):
        return kinds.NOTHING
    if "binary" in str(kind):
        return kinds.BYTES
    return kinds.TEXT if str(kind) in ("string", "large_string", "string_view") else kinds.OTHER


def _plain(kind: Any, feature: Any, value: Any) -> Any:
    """``value`` as JSON would hold it: names for their numbers, and no more digits than there are.

    Raises:
        ValueError: a number that stands for no name.
    """
    from pyarrow import types  # not an argument: rows go to other processes, modules do not

    kind = _bare(kind)
    if value is None:
        return None
    if isinstance(value, list):  # of a list, or of a part of a list's elements
        inner = kind.value_type if _is_list(kind) else kind
        return [_plain(inner, _inner(feature), one) for one in value]
    if types.is_integer(kind):
        names = _names(feature)
        return value if names is None else _named(value, names)
    if types.is_decimal(kind):
        return str(value)
    if types.is_float16(kind) or types.is_float32(kind):
        import numpy as np

        return float(str((np.float16 if types.is_float16(kind) else np.float32)(value)))
    return value


def _named(number: int, names: Sequence[str]) -> str | None:
    if number == -1:  # where there is no label
        return None
    if not 0 <= number < len(names):
        raise ValueError(f"{number} is none of the {len(names)} names of its ClassLabel")
    return str(names[number])
