"""The words of a report: one small function per kind of cell. Numbers come from ``units``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal, Protocol

from v2drop_cli.records import (
    AS_IT_IS,
    DUMMY,
    EAGER,
    RANDOM,
    ArmResult,
    CaveatKind,
    Comparison,
    MediaRecord,
    Report,
    Stats,
)
from v2drop_cli.records.curves import Sweep
from v2drop_cli.report.text import GLUE, TIMES, clean, glued
from v2drop_cli.units import (
    NOT_AVAILABLE,
    format_bytes,
    format_count,
    format_seconds,
    format_spread,
)

Tone = Literal["plain", "good", "bad", "muted", "warn"]
"""How a text may be coloured. The text alone always says as much."""

Said = tuple[str, Tone]
"""A cell's words and their tone."""

DUMMY_LABEL = CaveatKind.DUMMY_WEIGHTS.words
DUMMY_ANSWER = f"answer (dummy{GLUE}weights)"
TINY = "tiny"
TINY_KNOWS = "knows drawn shapes only"
MARK = "*"
"""Behind the name of random selection, wherever an arm is named by it."""
CPU_CLOCK = f"wall clock of the CPU, so GPU{GLUE}figures are n/a"
READING = (
    f"± and [low,{GLUE}high] span the 95{GLUE}% interval; above 1x is faster than the reference"
)
READING_ALONE = f"± spans the 95{GLUE}% interval"
READING_ALL = "layers and tokens count from 0"
READING_RANDOM = f"{MARK} random selection of as many tokens: what a method has to beat"
REFERENCE = "reference"
EMPTY = "(empty)"
SYNTHETIC = "synthetic"
NOTHING = "-"

_DROPS_PER_LINE = 3
_TIME_WIDTH = 7


def media(record: MediaRecord) -> str:
    """Name, kind, size, and for a video how many frames and from when to when."""
    name = clean(PurePath(record.path).name or record.path) if record.path else SYNTHETIC
    parts = [f"{name},", clean(record.kind), f"{record.width}{TIMES}{record.height}"]
    if record.kind != "image" or record.frames > 1:
        parts[-1] += ","
        parts.append(plural(record.frames, "frame"))
        times = record.frame_times_s
        if times:
            first, last = _moment(min(times)), _moment(max(times))
            parts.append(glued(f"at {first}" if first == last else f"from {first} to {last}"))
    return " ".join(map(glued, parts))


def _moment(time_s: float) -> str:
    return "0 s" if time_s == 0 else format_seconds(time_s)


def model(report: Report | Sweep) -> str:
    """Everything that decides the speed before any method does, in one line."""
    request = report.request
    name = clean(request.model)
    if request.resolved_id == TINY and request.weights != DUMMY:
        name += f" ({TINY_KNOWS})"
    source = clean(request.resolved_id) if request.resolved_id != request.model else ""
    if request.revision:
        source = f"{source} @ {clean(request.revision)[:12]}".strip()
    device = clean(request.device)
    hardware = report.environment.get("device")
    if isinstance(hardware, str) and hardware and hardware != request.device:
        device += f" ({clean(hardware)})"
    parts = [
        f"{name} ({source})" if source else name,
        f"{clean(request.weights)} weights",
        device,
        clean(request.dtype),
        f"{clean(request.attn_implementation)} attention",
    ]
    if request.fake_quant != AS_IT_IS:
        parts.append(f"{clean(request.fake_quant)} simulated")
    if request.decode != EAGER:
        parts.append(f"{clean(request.decode)} decode")
    return ", ".join(map(glued, parts))


def schedule(arm: ArmResult) -> str:
    """Write the schedule as it is typed, broken after commas if long; empty for none."""
    return _by_commas(arm.schedule or "")


class Named(Protocol):
    """What has the name of an arm."""

    @property
    def label(self) -> str:
        """The arm's label."""

    @property
    def method(self) -> str | None:
        """Its method; ``None`` for dense."""


def arm_label(arm: Named) -> str:
    """The arm's name, with a mark if it is random selection.

    A line break is offered after commas: the name may hold a whole schedule.
    """
    name, space, last = arm.label.rpartition(" ")
    text = clean(name + space) + _by_commas(last)
    if arm.method != RANDOM:
        return text
    start = RANDOM if text.startswith(RANDOM) else text
    return start + MARK + text.removeprefix(start)


def _by_commas(text: str) -> str:
    """A line break after every few drops."""
    parts = clean(text).split(",")
    starts = range(0, len(parts), _DROPS_PER_LINE)
    return ",\n".join(",".join(parts[at : at + _DROPS_PER_LINE]) for at in starts)


def counts(arm: ArmResult) -> str:
    """Chain the vision tokens alive: ``576 → 288 → 86 → 0``; it may break after an arrow."""
    if not arm.drops:
        return format_count(arm.vision_tokens)
    alive = [arm.drops[0].before, *(drop.after for drop in arm.drops)]
    return f"{GLUE}→ ".join(map(format_count, alive))


def drop_layers(arm: ArmResult) -> str:
    """``3, 17, 22``; empty where nothing was dropped."""
    return ", ".join(str(drop.layer) for drop in arm.drops)


def schedule_layers(arm: ArmResult) -> str:
    """The same, of the schedule as it is typed."""
    parts = (arm.schedule or "").split(",")
    return ", ".join(part.split(":")[0] for part in parts if part)


def layer_average(arm: ArmResult, dense: ArmResult | None) -> str:
    """Mean vision tokens per decoder layer, and what share of dense that is."""
    average = arm.layer_average_vision_tokens
    text = format_count(average)
    if dense is None or dense is arm or not dense.layer_average_vision_tokens:
        return text
    return f"{text} {glued(f'({percent(average / dense.layer_average_vision_tokens)})')}"


def time(stats: Stats | None) -> str:
    """Write a median and its spread, the spreads lined up under each other."""
    if stats is None:
        return NOT_AVAILABLE
    text = format_seconds(stats.median)
    spread = format_spread(stats.ci95, stats.median)
    return f"{glued(text.ljust(_TIME_WIDTH))} {glued(spread)}" if spread else glued(text)


def peak_label(kind: str | None) -> str:
    """Name the peak in the row's label where all arms have the same one."""
    return f"peak {glued(f'({kind})')}" if kind else "peak"


def peak(arm: ArmResult, comparison: Comparison | None, shared_kind: str | None) -> str:
    """Write the peak this device can tell, and against the reference."""
    text = glued(format_bytes(arm.memory.peak_bytes))
    if shared_kind is None and arm.memory.peak_bytes is not None:
        text += f" {glued(f'({arm.memory.peak_kind})')}"
    return text + _of_reference(comparison.peak_memory_ratio if comparison else None)


def cache(arm: ArmResult, comparison: Comparison | None) -> str:
    """Write the KV cache, and against the reference."""
    ratio = comparison.kv_cache_ratio if comparison else None
    return glued(format_bytes(arm.memory.kv_cache_bytes)) + _of_reference(ratio)


def _of_reference(ratio: float | None) -> str:
    """``(39.2 %)`` of the reference's size; empty where it is as large, or not known."""
    said = share(ratio)
    return "" if not said or said == share(1.0) else f" {glued(f'({said})')}"


def share(ratio: float | None) -> str:
    """Reference over arm, as the share of the reference that the arm needs; empty if unknown.

    >>> share(2.55), share(0.8), share(1.0), share(None)
    ('39.2 %', '125 %', '100 %', '')
    """
    return f"{100 / ratio:.3g} %" if ratio and ratio > 0 else ""


def agreement(comparison: Comparison | None) -> str:
    """Whether the answer is the reference's; else where they part and how much agrees."""
    if comparison is None:
        return NOT_AVAILABLE
    if comparison.answers_identical:
        return "same"
    start = "differs"
    if comparison.first_divergence is not None:
        start = f"differs from {glued(f'token {comparison.first_divergence} on')}"
    return f"{start}, {glued(f'{percent(comparison.token_agreement)} agree')}"


def measured(report: Report) -> str:
    """How the numbers came about, counted from the samples that are there."""
    request = report.request
    rounds = {len(stats.samples) for stats in _all_stats(report)}
    if not rounds:
        return "nothing was timed"
    least, most = min(rounds), max(rounds)
    count = plural(most, "round") if least == most else f"{least} to {most} rounds"
    if request.repeats is not None and least < request.repeats:
        count += f" ({request.repeats} asked for)"
    order = ", interleaved" if len(report.arms) > 1 else ""
    tokens = plural(request.timed_new_tokens, "new token")
    clock = f"; {CPU_CLOCK}" if request.device.startswith("cpu") else ""
    return (
        f"median of {count} after {plural(request.warmup, 'warm-up')}{order}; "
        f"{tokens} per timed generation{clock}"
    )


def _all_stats(report: Report) -> list[Stats]:
    timings = [arm.timing for arm in report.arms]
    found = [(t.prefill_s, t.decode_s_per_token, t.generate_s) for t in timings]
    return [stats for group in found for stats in group if stats is not None]


def plural(count: int, noun: str) -> str:
    """``1 round``, ``5 rounds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; nothing of nothing."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def percent(share: float) -> str:
    """Three digits, and never ``100 %`` for less than all.

    >>> percent(0.336), percent(1.0), percent(0.9999), percent(0.0)
    ('33.6 %', '100 %', '99.9 %', '0 %')
    """
    value = share * 100
    return f"{min(value, 99.9) if value < 100 else value:.3g} %"
