"""The charts of one report: stages, speed-ups, samples and memory of every arm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from v2drop_cli.judge.ruler import Interval, null_interval, symmetric
from v2drop_cli.records import ArmResult, Comparison, Report, Stats
from v2drop_cli.records.arm import PROCESS_RSS
from v2drop_cli.records.metrics import Metric, metric
from v2drop_cli.report import profile_wording, wording
from v2drop_cli.report.claims import SPEEDUPS, claims
from v2drop_cli.report.html.charts import Chart, Lane, Mark, Scale
from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.markup import Child, Markup, joined, lines
from v2drop_cli.report.terms import IDEAL, INTERVAL, NOISE, NULL, SPEEDUP, WATERFALL
from v2drop_cli.report.text import clean
from v2drop_cli.units import format_bytes, format_ratio, format_seconds

_STAGES = ("media", "preprocess", "vision", "prefill")
"""In the order of the work; the later tokens come after them."""


def waterfall(report: Report) -> Chart | None:
    """Of each arm the stages of one answer, one after the other on a common axis."""
    found = {arm.label: list(_stages(report, arm)) for arm in report.arms}
    totals = {label: sum(seconds for _, _, seconds in own) for label, own in found.items()}
    longest = max(totals.values(), default=0.0)
    if not longest:
        return None
    lanes: list[Lane] = []
    for arm in report.arms:
        lanes.append(Lane(_name(arm), format_seconds(totals[arm.label]), heading=True))
        start = 0.0
        for name, words, seconds in found[arm.label]:
            bar = Mark("bar", start, start + seconds, f"stage-{name}")
            lanes.append(Lane(link(name, words), format_seconds(seconds), (bar,)))
            start += seconds
    return Chart(
        "Where the time goes, from the files to the last token",
        lanes,
        Scale(0.0, longest),
        _seconds,
        note=[
            link(WATERFALL, "Medians of the stages, one after the other."),
            " Two of them divided are not the ",
            link(SPEEDUP, "speed-up"),
            ", which is formed round by round.",
        ],
    )


def _stages(report: Report, arm: ArmResult) -> Iterator[tuple[str, str, float]]:
    """Name, words and seconds of each stage that was timed."""
    for name in _STAGES:
        row = metric(name)
        stats = row.samples(arm)
        if stats is not None:
            yield name, row.label, stats.median
    later = report.request.timed_new_tokens - 1
    token = metric("decode").samples(arm)
    if token is not None and later > 0:
        yield "decode", f"decode, {wording.plural(later, 'token')}", token.median * later


def speedups(report: Report) -> Iterator[Chart]:
    """One chart a time that is compared: each arm's ratio, its interval, the noise, the ideal."""
    scale = _common_scale(report)
    for at, row in enumerate(SPEEDUPS):
        found = [item for item in report.comparisons if row.speedup(item) is not None]
        if not found:
            continue
        floor = _floor(report, row)
        ideals = [item.ideal_prefill_speedup for item in found if row.name == "prefill"]
        lanes = [_speedup_lane(report, item, at, floor) for item in found]
        words = f"Speed-up of {row.label} over {clean(found[0].reference)}"
        note: list[Child] = [
            link(SPEEDUP, "Right of the line at 1x is faster"),
            ", the bar through a point is its ",
            link(INTERVAL, "interval"),
        ]
        if floor is not None:
            note.append([", the grey band is the ", link(NOISE, "noise floor")])
        if any(ideals):
            note.append([", the diamond the ", link(IDEAL, "ideal")])
        yield Chart(words, lanes, scale, format_ratio, note=[*note, "."])


def _common_scale(report: Report) -> Scale:
    """One for all speed-ups, so that one chart can be held against another."""
    reached = [1.0]
    for row in SPEEDUPS:
        reached += _floor(report, row) or ()
        for item in report.comparisons:
            ideal = item.ideal_prefill_speedup if row.name == "prefill" else None
            reached += [*_reach(row, item), *filter(None, [ideal])]
    return Scale.around(reached)


def _speedup_lane(report: Report, found: Comparison, at: int, floor: Interval | None) -> Lane:
    claim, row = claims(found)[at], SPEEDUPS[at]
    ratio = row.speedup(found)
    words, tone = claim.said
    marks = [] if floor is None else [Mark("band", *floor)]
    marks.append(Mark("tick", 1.0, 1.0, "one"))
    if ratio is not None and ratio.ci95 is not None:
        marks.append(Mark("whisker", *ratio.ci95, look=tone))
    if ratio is not None:
        marks.append(Mark("point", ratio.median, ratio.median, tone))
    ideal = found.ideal_prefill_speedup if row.name == "prefill" else None
    if ideal is not None:
        marks.append(Mark("goal", ideal, ideal))
        words += f"; ideal {format_ratio(ideal)}, realised: {profile_wording.realised(found)}"
    [arm] = [each for each in report.arms if each.label == found.arm]
    return Lane(_name(arm), words, tuple(marks))


def _reach(row: Metric, found: Comparison) -> tuple[float, ...]:
    ratio = row.speedup(found)
    return () if ratio is None else (ratio.median, *(ratio.ci95 or ()))


def samples(report: Report) -> Iterator[Chart]:
    """One chart a time that is compared: every sample of every arm, and of the null."""
    for row in SPEEDUPS:
        timed = [(_name(arm), stats) for arm in report.arms if (stats := row.samples(arm))]
        if not timed:
            continue
        null = _null(report, row)
        if null is not None:
            timed.append((joined(["dense again, the ", link(NULL, "A/A null")]), null))
        band = _band(report, row)
        every = [sample for _, stats in timed for sample in stats.samples]
        lanes = [_sample_lane(name, stats, band) for name, stats in timed]
        note: list[Child] = [
            "Each stroke is a round, the long line the ",
            link(INTERVAL, "interval"),
            " of the median",
        ]
        if band is not None:
            note.append(["; the grey band is dense within its ", link(NOISE, "noise floor")])
        title = f"Every sample of {row.label}"
        scale = Scale.around([*every, *(band or ())], 0.02)
        yield Chart(title, lanes, scale, format_seconds, note=[*note, "."])


def _sample_lane(name: Child, stats: Stats, band: Interval | None) -> Lane:
    marks = [] if band is None else [Mark("band", *band)]
    if stats.ci95 is not None:
        marks.append(Mark("whisker", *stats.ci95, look="low"))
    marks.append(Mark("tick", stats.median, stats.median, "median"))
    return Lane(name, wording.time(stats), tuple(marks), stats.samples)


def _null(report: Report, row: Metric) -> Stats | None:
    found: Stats | None = None
    if report.protocol is not None and row.field is not None:
        found = getattr(report.protocol.null_timing, row.field)
    return found


def _floor(report: Report, row: Metric) -> Interval | None:
    """The noise floor of a ratio; ``None`` where dense was not held against itself."""
    if report.null_comparison is None:
        return None
    found = null_interval(report, row)
    return symmetric([found]) if found is not None else None


def _band(report: Report, row: Metric) -> Interval | None:
    """The times that dense's own median may become without anything being different."""
    floor = _floor(report, row)
    names = {item.reference for item in report.comparisons}
    medians = [s.median for a in report.arms if a.label in names and (s := row.samples(a))]
    if floor is None or not medians:
        return None
    return medians[0] / floor[1], medians[0] / floor[0]


_PARTS = ("weights", "kv_cache", "activations")


def memory(report: Report) -> Iterator[Chart]:
    """What the peak is made of, as far as this device tells; and the KV cache by itself."""
    peaks = [arm.memory.peak_bytes or 0 for arm in report.arms]
    sums = [sum(size for _, size in _parts(arm)) for arm in report.arms]
    most = max([*peaks, *sums])
    if most:
        lanes = [_memory_lane(arm) for arm in report.arms]
        told = {name for arm in report.arms for name, _ in _parts(arm)}
        legend = [(f"part-{name}", metric(name).label) for name in _PARTS if name in told]
        legend.append(("part-rest", _rest(report)))
        yield Chart("Memory at the peak", lanes, _bytes_up_to(most), _bytes, legend)
    caches = [arm.memory.kv_cache_bytes or 0 for arm in report.arms]
    if max(caches):
        lanes = [
            Lane(
                _name(arm),
                wording.cache(arm, _comparison(report, arm)),
                (Mark("bar", 0, size, "part-kv_cache"),),
            )
            for arm, size in zip(report.arms, caches, strict=True)
        ]
        yield Chart("KV cache alone", lanes, _bytes_up_to(max(caches)), _bytes)


def _rest(report: Report) -> str:
    """What the peak is that no part of it is told of."""
    if any(arm.memory.peak_kind == PROCESS_RSS for arm in report.arms):
        return "the rest of the process: Python, its libraries, what is being computed"
    return "the rest of the peak"


def _bytes_up_to(most: float) -> Scale:
    """From nothing to ``most``, in the unit that it is written in."""
    return Scale(0, most, unit=1024.0 ** int(math.log(most, 1024)))


def _memory_lane(arm: ArmResult) -> Lane:
    marks, start = [], 0.0
    for name, size in _parts(arm):
        marks.append(Mark("bar", start, start + size, f"part-{name}"))
        start += size
    peak = arm.memory.peak_bytes
    if peak is not None and peak > start:
        marks.append(Mark("bar", start, peak, "part-rest"))
    rows = [metric(name) for name in _PARTS]
    parts = [f"{row.label} {format_bytes(_whole(row.of(arm)))}" for row in rows]
    kind = f" ({arm.memory.peak_kind})" if peak is not None else ""
    said = f"peak {format_bytes(peak)}{kind}: {', '.join(parts)}"
    return Lane(_name(arm), said, tuple(marks))


def _parts(arm: ArmResult) -> list[tuple[str, float]]:
    values: Sequence[tuple[str, float | None]] = [(n, metric(n).of(arm)) for n in _PARTS]
    return [(name, value) for name, value in values if value is not None]


def _comparison(report: Report, arm: ArmResult) -> Comparison | None:
    return next((item for item in report.comparisons if item.arm == arm.label), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _seconds(value: float) -> str:
    return format_seconds(value) if value else "0"


def _bytes(value: float) -> str:
    return format_bytes(int(value))


def _name(arm: ArmResult) -> Markup:
    return lines(wording.arm_label(arm))
