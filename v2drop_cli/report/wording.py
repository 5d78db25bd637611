"""The words of a report: one small function per kind of cell. Numbers come from ``units``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from v2drop_cli.records import (
    EAGER,
    FEWEST_FOR_INTERVAL,
    ArmResult,
    Comparison,
    MediaRecord,
    Ratio,
    Report,
    Stats,
    Verdict,
)
from v2drop_cli.records.metrics import METRICS, Kind
from v2drop_cli.records.verdicts import FASTER, SLOWER, UNCLEAR
from v2drop_cli.report.text import GLUE, TIMES, clean, glued
from v2drop_cli.units import (
    NOT_AVAILABLE,
    format_bytes,
    format_count,
    format_ratio,
    format_seconds,
    format_spread,
)

Tone = Literal["plain", "good", "bad", "muted", "warn"]
"""How a text may be coloured. The text alone always says as much."""

Said = tuple[str, Tone]
"""A cell's words and their tone."""

DUMMY = "dummy"
DUMMY_LABEL = "dummy weights: timings are real, answers are not"
DUMMY_ANSWER = f"answer (dummy{GLUE}weights)"
CPU_LABEL = "measured on the CPU: wall clock; GPU figures n/a"
READING = (
    f"± and [low,{GLUE}high] span the 95{GLUE}% interval; an effect is within noise when its "
    "interval reaches 1 or its median lies in the noise floor, and unclear below "
    f"{FEWEST_FOR_INTERVAL}{GLUE}rounds; layers and tokens count from 0"
)
READING_ALONE = f"± spans the 95{GLUE}% interval; layers and tokens count from 0"
REFERENCE = "reference"
TOO_FEW = f"unclear (too{GLUE}few{GLUE}rounds)"
EMPTY = "(empty)"
SYNTHETIC = "synthetic"
NOTHING = "-"

SPEEDUPS = tuple(row for row in METRICS if row.against and row.kind is Kind.TIMED)
"""The times whose ratio to the reference is shown."""

_STAGES_PER_LINE = 4
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
            parts.append(glued(f"from {_moment(min(times))} to {_moment(max(times))}"))
    return " ".join(map(glued, parts))


def _moment(time_s: float) -> str:
    return "0 s" if time_s == 0 else format_seconds(time_s)


def model(report: Report) -> str:
    """Everything that decides the speed before any method does, in one line."""
    request = report.request
    name = clean(request.model)
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
    if request.decode != EAGER:
        parts.append(f"{clean(request.decode)} decode")
    return ", ".join(map(glued, parts))


def schedule(arm: ArmResult) -> str:
    """Write the schedule as it is typed, broken after commas if long; empty for none."""
    return _by_commas(arm.schedule or "")


def arm_label(arm: ArmResult) -> str:
    """Offer a line break after commas in the arm's name: it may hold a whole schedule."""
    name, space, last = arm.label.rpartition(" ")
    return clean(name + space) + _by_commas(last)


def _by_commas(text: str) -> str:
    return _broken(clean(text).split(","), ",", _DROPS_PER_LINE)


def stages(arm: ArmResult) -> str:
    """Chain the vision tokens alive: ``576 → 288 → 86 → 0``."""
    if not arm.drops:
        return format_count(arm.vision_tokens)
    counts = [arm.drops[0].before, *(drop.after for drop in arm.drops)]
    return _broken([format_count(count) for count in counts], " → ", _STAGES_PER_LINE)


def layers(arm: ArmResult) -> str:
    """One line per drop: ``layer 3: 288``; empty where there is none."""
    lines = [f"layer {drop.layer}: {format_count(drop.after)}" for drop in arm.drops]
    return glued("\n".join(lines))


def _broken(parts: Sequence[str], between: str, per_line: int) -> str:
    """``parts`` joined, with a line break after every ``per_line`` of them."""
    lines = [
        between.join(parts[start : start + per_line]) for start in range(0, len(parts), per_line)
    ]
    return glued(f"{between.rstrip()}\n".join(lines))


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
    return text + _saving(comparison.peak_memory_ratio if comparison else None)


def cache(arm: ArmResult, comparison: Comparison | None) -> str:
    """Write the KV cache, and against the reference."""
    ratio = comparison.kv_cache_ratio if comparison else None
    return glued(format_bytes(arm.memory.kv_cache_bytes)) + _saving(ratio)


def _saving(ratio: float | None) -> str:
    said = saving(ratio)
    return f" ({said})" if said else ""


def saving(ratio: float | None) -> str:
    """``2.40x less``; above 1 is better than the reference, so below 1 is more; empty for as much.

    Empty too where the ratio is not known.
    """
    if ratio is None or ratio <= 0:
        return ""
    more = format_ratio(max(ratio, 1 / ratio))
    if more == format_ratio(1.0):
        return ""
    return glued(f"{more} {'less' if ratio > 1 else 'more'}")


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


def speedup(ratio: Ratio | None, verdict: Verdict | None) -> Said:
    """Word a ratio and what ``judge`` says of it; a ``verdict`` of ``None`` was never asked."""
    if ratio is None:
        return NOT_AVAILABLE, "muted"
    if ratio.ci95 is None:
        return TOO_FEW, "muted"
    interval = _interval(ratio.ci95)
    said = verdict.verdict if verdict is not None else UNCLEAR
    if said == FASTER:
        return f"{format_ratio(ratio.median)} {interval}", "good"
    if said == SLOWER:
        return f"{glued(f'{format_ratio(ratio.median)} slower')} {interval}", "bad"
    return f"{glued(said)} {interval}", "muted"


def _interval(bounds: tuple[float, float]) -> str:
    low, high = (format_ratio(bound).removesuffix("x") for bound in bounds)
    return glued(f"[{low}, {high}]")


def noise_floor(null: Comparison) -> str:
    """Say what dense against dense shows through the same machinery."""
    parts = []
    for row in SPEEDUPS:
        ratio = row.speedup(null)
        known = _interval(ratio.ci95) if ratio and ratio.ci95 else NOT_AVAILABLE
        parts.append(f"{row.name}{GLUE}{known}")
    return f"{clean(null.reference)} against itself: {', '.join(parts)}"


def measured(report: Report) -> str:
    """How the numbers came about, counted from the samples that are there."""
    request = report.request
    runs = {len(stats.samples) for stats in _all_stats(report)}
    if not runs:
        return f"nothing was timed; {clean(request.device)}"
    least, most = min(runs), max(runs)
    count = plural(most, "repeat") if least == most else f"{least} to {most} repeats"
    if request.repeats is not None and least < request.repeats:
        count += f" ({request.repeats} asked for)"
    order = ", interleaved" if len(report.arms) > 1 else ""
    clock = ", wall clock" if request.device.startswith("cpu") else ""
    tokens = plural(request.timed_new_tokens, "new token")
    return (
        f"median of {count} after {plural(request.warmup, 'warm-up')}{order}; "
        f"{tokens} per timed generation; {clean(request.device)}{clock}"
    )


def _all_stats(report: Report) -> list[Stats]:
    timings = [arm.timing for arm in report.arms]
    found = [(t.prefill_s, t.decode_s_per_token, t.generate_s) for t in timings]
    return [stats for group in found for stats in group if stats is not None]


def plural(count: int, noun: str) -> str:
    """``1 repeat``, ``5 repeats``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Three digits, and never ``100 %`` for less than all.

    >>> percent(0.336), percent(1.0), percent(0.9999), percent(0.0)
    ('33.6 %', '100 %', '99.9 %', '0 %')
    """
    value = share * 100
    return f"{min(value, 99.9) if value < 100 else value:.3g} %"
