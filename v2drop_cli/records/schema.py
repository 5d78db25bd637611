"""Whether a JSON document is a report, checked against the records themselves.

The record types are the schema: a field added there is checked here with no second list.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from v2drop_cli.records import Comparison, Report, Timing

_NO_COUNT = 10**30
"""No count of bytes, tokens or FLOPs is that large, and larger ones fit no float."""

_MAY_BE_NEGATIVE = {"seed", "temperature_c", "prefill_s", "share_of_dense_prefill", "exponent"}
"""Two of them are an overhead, a difference of times. All other numbers count or last."""


def first_problem(document: Mapping[str, Any], kind: type = Report) -> str | None:
    """Say in one line what is wrong with ``document``, which is to be a ``kind``, or ``None``."""
    found = next(_shape(document, kind, ""), None)
    return found or next((_sense if kind is Report else _sweep_sense)(document), None)


def _shape(value: Any, kind: Any, where: str) -> Iterator[str]:
    if dataclasses.is_dataclass(kind):
        yield from _record(value, kind, where)
    elif typing.get_origin(kind) is types.UnionType:
        options = [option for option in typing.get_args(kind) if option is not types.NoneType]
        if value is not None:
            yield from _shape(value, options[0], where)
    elif typing.get_origin(kind) is tuple:
        yield from _list(value, typing.get_args(kind), where)
    elif not _is_scalar(value, typing.get_origin(kind) or kind):
        yield f"{where} is {shown(value)}"


def _record(value: Any, kind: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or 'the document'} is {shown(value)}"
        return
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        path = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            found = value[field.name]
            yield from _shape(found, hints[field.name], path)
            signed = field.name in _MAY_BE_NEGATIVE
            if isinstance(found, (int, float)) and found < 0 and not signed:
                yield f"{path} is negative"
        elif not field.metadata.get("added"):
            yield f"{path} is missing"


def _list(value: Any, kinds: tuple[Any, ...], where: str) -> Iterator[str]:
    fixed = None if kinds[-1] is Ellipsis else len(kinds)
    if not isinstance(value, list) or (fixed is not None and len(value) != fixed):
        yield f"{where} is {shown(value)}"
        return
    for number, item in enumerate(value):
        yield from _shape(item, kinds[0], f"{where}[{number}]")


def _is_scalar(value: Any, kind: Any) -> bool:
    if kind is float:
        return _is_scalar(value, int) or (isinstance(value, float) and math.isfinite(value))
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _NO_COUNT
    return isinstance(value, kind)


def shown(value: Any) -> str:
    """``value`` as a message quotes it: never long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _sense(document: Mapping[str, Any]) -> Iterator[str]:
    """Find what types cannot: numbers that contradict each other."""
    labels = [arm["label"] for arm in document["arms"]]
    if len(set(labels)) != len(labels):
        yield "two arms have the same label"
    for name in ("comparisons", "random_comparisons"):
        for number, comparison in enumerate(document.get(name) or ()):
            where = f"{name}[{number}]"
            for role in ("arm", "reference"):
                if comparison[role] not in labels:
                    yield f"{where}.{role} is {shown(comparison[role])}, which is no arm"
            yield from _ratios(comparison, where)
    for name in _leaders(document.get("lead")):
        if name not in labels:
            yield f"lead names {shown(name)}, which is no arm"
    for number, medium in enumerate(document["request"]["media"]):
        if not medium["width"] or not medium["height"]:
            yield f"request.media[{number}] is {medium['width']}x{medium['height']} pixels"
    for number, span in enumerate(document["request"].get("spans") or ()):
        grid, tokens = span["grid"], sum(count for _, count in span["runs"])
        if grid["t"] * grid["h"] * grid["w"] != tokens:
            yield f"request.spans[{number}] has {tokens} tokens, which is not its grid's size"
        if any(first < 0 or count < 0 for first, count in span["runs"]):
            yield f"request.spans[{number}] has a run that is negative"
    if isinstance(document.get("protocol"), dict):
        yield from _timing(document["protocol"]["null_timing"], "protocol.null_timing")
    for number, arm in enumerate(document["arms"]):
        yield from _timing(arm["timing"], f"arms[{number}].timing")
        for place, drop in enumerate(arm["drops"]):
            if not 0 <= drop["after"] <= drop["before"]:
                yield f"arms[{number}].drops[{place}] leaves more tokens than it found"
            sources = drop.get("sources")
            if sources is not None and [*map(len, sources)] != [*map(len, drop["kept"])]:
                yield f"arms[{number}].drops[{place}].sources are not those of the kept tokens"


def _sweep_sense(document: Mapping[str, Any]) -> Iterator[str]:
    """The same of a sweep."""
    sizes, labels = document["sizes"], [curve["label"] for curve in document["curves"]]
    if sizes != sorted(set(sizes)):
        yield "sizes do not grow"
    if len(set(labels)) != len(labels):
        yield "two curves have the same label"
    for number, best in enumerate(document["throughput"]):
        if best["arm"] not in labels:
            yield f"throughput[{number}].arm is {shown(best['arm'])}, which is no curve"
    for number, curve in enumerate(document["curves"]):
        for place, point in enumerate(curve["points"]):
            where = f"curves[{number}].points[{place}]"
            if point["size"] not in sizes:
                yield f"{where}.size is {point['size']}, which was not asked for"
            yield from _timing(point, where)


def _leaders(lead: Mapping[str, Any] | None) -> tuple[str, ...]:
    return () if lead is None else (lead["arm"], *lead["tied"])


def _timing(timing: Mapping[str, Any], where: str) -> Iterator[str]:
    for field in dataclasses.fields(Timing):  # others are a later version's: let through
        stats = timing.get(field.name)
        if stats is not None:
            yield from _stats(stats, f"{where}.{field.name}")


def _stats(stats: Mapping[str, Any], where: str) -> Iterator[str]:
    samples = stats["samples"]
    if not samples:
        yield f"{where} has no samples"
    elif not 0 <= min(samples) <= stats["median"] <= max(samples):
        yield f"{where}.median is not among its samples"
    yield from _interval(stats, where)


def _ratios(comparison: Mapping[str, Any], where: str) -> Iterator[str]:
    for field in dataclasses.fields(Comparison):
        ratio = comparison.get(field.name)
        if isinstance(ratio, dict):
            yield from _interval(ratio, f"{where}.{field.name}")


def _interval(value: Mapping[str, Any], where: str) -> Iterator[str]:
    interval = value.get("ci95")
    if interval is not None and interval[0] > interval[1]:
        yield f"{where}.ci95 runs backwards"
    if interval is not None and interval[0] < 0:
        yield f"{where}.ci95 is negative"
