"""What a report of ``v2drop run`` or ``v2drop profile`` says: one cell per arm and quantity.

:mod:`v2drop_cli.report.wording` writes the single cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from v2drop_cli.records import (
    DENSE,
    DUMMY,
    EAGER,
    RANDOM,
    ArmResult,
    CaveatKind,
    Comparison,
    Report,
    Stats,
)
from v2drop_cli.records.metrics import METRICS, Metric, Place
from v2drop_cli.report import against_random, glance, movement, profile_wording, wording
from v2drop_cli.report.claims import SPEEDUPS, claims, legend, noise_floor
from v2drop_cli.report.finding import finding
from v2drop_cli.report.terms import CAPTURE, FLOOR, IDEAL, SPEEDUP
from v2drop_cli.report.text import clean, glued
from v2drop_cli.report.view import Cell, Fact, Glance, Row, Section, View, claim_cell
from v2drop_cli.units import NOT_AVAILABLE, format_value

_OF_THE_ROW_ABOVE = "- "
# Caveats that the head of the report and the line about the measuring say in their own words.
_SAID_ELSEWHERE = {CaveatKind.DUMMY_WEIGHTS.code, CaveatKind.DEVICE_CPU.code}

REFERENCE = Cell(wording.REFERENCE, "muted", filler=True)
NOTHING = Cell(wording.NOTHING, "muted", filler=True)


def build_view(report: Report) -> View:
    """Put ``report`` into words; with a single arm there is no talk of comparing."""
    sections = (
        Section("", tuple(_identity_rows(report))),
        Section(f"Speed-up over {clean(_reference(report))}", tuple(_speedup_rows(report))),
        Section(against_random.TITLE, tuple(against_random.rows(report))),
        Section("Vision tokens", tuple(_token_rows(report))),
        Section(movement.TITLE, tuple(movement.rows(report))),
        Section("Time (median)", tuple(_time_rows(report))),
        Section("Memory", tuple(_memory_rows(report))),
        Section("Against the limit", tuple(_limit_rows(report))),
    )
    return View(
        facts=tuple(_facts(report)),
        columns=tuple(map(wording.arm_label, report.arms)),
        sections=tuple(section for section in sections if section.rows),
        footer=tuple(_footer(report)),
        glance=_glance(report),
        notes=tuple(against_random.notes(report)),
        finding=_finding(report),
    )


def _finding(report: Report) -> Cell | None:
    said = finding(report)
    return said and Cell(*said)


def _glance(report: Report) -> Glance | None:
    """A row per arm; nothing where there is nothing to compare."""
    if len(report.arms) < 2:
        return None
    rows = []
    for arm in report.arms:
        found = _comparison(report, arm)
        if arm.label == _reference(report):
            said, values = glance.reference_cells(arm), glance.reference_values()
        else:
            said, values = glance.arm_cells(report, found), glance.arm_values(found)
        pairs = zip(said, values, strict=True)
        cells = tuple(Cell(*words, value=value) for words, value in pairs)
        rows.append(Row(wording.arm_label(arm), cells))
    title = f"Against {clean(_reference(report))}"
    spreads = glance.spreads(report)
    return Glance(title, glance.columns(), tuple(rows), spreads, glance.about())


def _facts(report: Report) -> Iterator[Fact]:
    request = report.request
    if request.weights == DUMMY:
        yield Fact("WARNING", wording.DUMMY_LABEL, "warn")
    for number, media in enumerate(request.media):
        yield Fact("" if number else "media", wording.media(media))
    yield Fact("model", wording.model(report))
    yield Fact("prompt", clean(request.prompt, lines=True) or wording.EMPTY)
    if request.batch_size > 1:
        yield Fact("batch", profile_wording.batch(request.batch_size))


def _identity_rows(report: Report) -> Iterator[Row]:
    arms = report.arms
    dummy = report.request.weights == DUMMY
    if any(arm.method and not arm.label.startswith(arm.method) for arm in arms):
        yield Row("method", tuple(_figure(arm.method and clean(arm.method)) for arm in arms))
    if any(arm.schedule and not arm.label.endswith(arm.schedule) for arm in arms):
        yield Row("schedule", tuple(_figure(wording.schedule(arm)) for arm in arms))
    yield Row(wording.DUMMY_ANSWER if dummy else "answer", tuple(map(_answer, arms)))
    if len(arms) > 1 and not dummy:
        label = f"against {clean(_reference(report))}"
        yield Row(label, tuple(_agreement(report, arm) for arm in arms), "token_agreement")


def _figure(text: str | None) -> Cell:
    return Cell(text) if text else NOTHING


def _answer(arm: ArmResult) -> Cell:
    text = clean(arm.answer.text, lines=True)
    return Cell(text, prose=True) if text.strip() else Cell(wording.EMPTY, "muted")


def _agreement(report: Report, arm: ArmResult) -> Cell:
    if arm.label == _reference(report):
        return REFERENCE
    found = _comparison(report, arm)
    if found is None:
        return Cell(wording.agreement(None), "muted")
    return Cell(wording.agreement(found), "good" if found.answers_identical else "bad")


def _token_rows(report: Report) -> Iterator[Row]:
    arms = report.arms
    chains = tuple(Cell(wording.counts(arm)) for arm in arms)
    yield Row("after each drop", chains, "vision_tokens")
    if any(wording.drop_layers(arm) != wording.schedule_layers(arm) for arm in arms):
        layers = (_figure(wording.drop_layers(arm)) for arm in arms)
        yield Row("drops at layers", tuple(layers))
    dense = next((arm for arm in arms if arm.label == _reference(report)), None)
    averages = tuple(
        Cell(wording.layer_average(arm, dense), value=arm.layer_average_vision_tokens)
        for arm in arms
    )
    yield Row("layer average", averages, "layer_average_vision_tokens")


def _time_rows(report: Report) -> Iterator[Row]:
    for row in METRICS:
        part = row.part_of is not None
        if row.place is not Place.TIME or (part and report.protocol is None):
            continue
        found = [row.samples(arm) for arm in report.arms]
        if not part or any(stats is not None for stats in found):
            cells = tuple(_stage(stats, part) for stats in found)
            label = f"{_OF_THE_ROW_ABOVE if part else ''}{row.label}"
            cells = _launches(report, cells) if row.name == "decode" else cells
            yield Row(label, cells, row.name)
    captures = [arm.capture_s for arm in report.arms]
    if any(seconds is not None for seconds in captures):
        cells = tuple(Cell(profile_wording.capture(s), value=s) for s in captures)
        yield Row("graph capture, once", cells, CAPTURE)


def _launches(report: Report, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Say beside a time per token that it is the time of launching the work."""
    return tuple(
        replace(cell, text=profile_wording.launch_bound(cell.text), tone="warn")
        if _is_launch_bound(report, arm)
        else cell
        for cell, arm in zip(cells, report.arms, strict=True)
    )


def _is_launch_bound(report: Report, arm: ArmResult) -> bool:
    return report.request.decode == EAGER and bool(arm.timing.launch_bound)


def _stage(stats: Stats | None, part: bool) -> Cell:
    """A part that an arm does not have is no missing measurement: dense scores nothing."""
    if stats is None:
        return NOTHING if part else Cell(wording.time(None))
    return Cell(wording.time(stats), value=stats.median)


def _memory_rows(report: Report) -> Iterator[Row]:
    arms = report.arms
    kinds = {arm.memory.peak_kind for arm in arms if arm.memory.peak_bytes is not None}
    shared = kinds.pop() if len(kinds) == 1 else None
    peaks = (
        Cell(
            wording.peak(arm, _comparison(report, arm), shared),
            value=arm.memory.peak_bytes,
        )
        for arm in arms
    )
    yield Row(wording.peak_label(shared), tuple(peaks), "peak_memory")
    caches = (
        Cell(wording.cache(arm, _comparison(report, arm)), value=arm.memory.kv_cache_bytes)
        for arm in arms
    )
    yield Row("KV cache", tuple(caches), "kv_cache")
    if report.protocol is not None and any(arm.memory.peak_allocated_bytes for arm in arms):
        yield from (_plain(report, row) for row in METRICS if row.place is Place.GPU_MEMORY)
    for row in METRICS:
        if row.place is Place.MEMORY and any(row.of(arm) is not None for arm in arms):
            yield _plain(report, row)


def _plain(report: Report, row: Metric) -> Row:
    """A number of each arm and no more."""
    values = [row.of(arm) for arm in report.arms]
    cells = (Cell(glued(format_value(row.unit, value)), value=value) for value in values)
    return Row(row.label, tuple(cells), row.name)


def _limit_rows(report: Report) -> Iterator[Row]:
    arms = report.arms
    limits = [arm.limit for arm in arms]
    if not any(limits) and report.protocol is None:
        return  # a profile says that they are not known
    found = [_comparison(report, arm) for arm in arms]
    work = (
        Cell(profile_wording.work(item), value=item.prefill_flops if item else None)
        for item in limits
    )
    yield Row("prefill work", tuple(work), "prefill_flops")
    ideal = (profile_wording.ideal(item) for item in found)
    yield Row("ideal speed-up", tuple(map(_figure, ideal)), IDEAL)
    realised = (profile_wording.realised(item) for item in found)
    yield Row("realised", tuple(map(_figure, realised)), "realised_over_ideal")
    if any(item and item.decode_floor_s_per_token for item in limits):
        floors = (profile_wording.floor(item) for item in limits)
        yield Row("decode floor", tuple(map(Cell, floors)), FLOOR)


def _speedup_rows(report: Report) -> Iterator[Row]:
    if len(report.arms) < 2:
        return
    found = [_comparison(report, arm) for arm in report.arms]
    said = [claims(item) if item else () for item in found]
    for at, row in enumerate(SPEEDUPS):
        cells = (
            claim_cell(own[at]) if own else _unclaimed(report, arm)
            for own, arm in zip(said, report.arms, strict=True)
        )
        yield Row(row.name, tuple(cells), SPEEDUP)


def _unclaimed(report: Report, arm: ArmResult) -> Cell:
    return REFERENCE if arm.label == _reference(report) else Cell(NOT_AVAILABLE, "muted")


def _footer(report: Report) -> Iterator[Fact]:
    yield Fact("measured", wording.measured(report))
    if report.protocol is not None:
        yield Fact("stopped", profile_wording.stopped(report.protocol))
        if report.protocol.machine:
            yield Fact("machine", profile_wording.machine(report.protocol))
    elif report.partial:
        yield Fact("stopped", profile_wording.cut_short(report))
    if any(_is_launch_bound(report, arm) for arm in report.arms):
        yield Fact("decode", profile_wording.LAUNCH_BOUND)
    yield Fact("reading", _reading(report))
    if any(arm.movements for arm in report.arms):
        yield Fact("explained", movement.READING)
    if report.null_comparison is not None:
        yield Fact("noise floor", noise_floor(report.null_comparison))
    for overhead in report.protocol.scoring_overheads if report.protocol else ():
        yield Fact("scoring", profile_wording.scoring(overhead))
    for caveat in report.warnings:
        if caveat.code not in _SAID_ELSEWHERE:
            yield Fact("warning", clean(caveat.message), "warn")
    if report.request.weights == DUMMY:  # again: of a long report the end is what shows
        yield Fact("warning", wording.DUMMY_LABEL, "warn")


def _reading(report: Report) -> str:
    """What the signs above mean: of those that are there, and no others."""
    if len(report.arms) < 2:
        return f"{wording.READING_ALONE}; {wording.READING_ALL}"
    signs = legend((*report.comparisons, *report.random_comparisons))
    marked = [wording.READING_RANDOM] if any(arm.method == RANDOM for arm in report.arms) else []
    return "; ".join((wording.READING, *signs, *marked, wording.READING_ALL))


def _comparison(report: Report, arm: ArmResult) -> Comparison | None:
    return next((item for item in report.comparisons if item.arm == arm.label), None)


def _reference(report: Report) -> str:
    return report.comparisons[0].reference if report.comparisons else DENSE
