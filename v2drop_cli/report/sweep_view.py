"""What ``v2drop sweep`` says, as the same kind of view as a report: a section per arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from v2drop_cli.records import DUMMY, CaveatKind
from v2drop_cli.records.curves import (
    BATCH_SIZE,
    FRAMES,
    IMAGE_SIZE,
    VISION_TOKENS,
    Curve,
    Point,
    Slope,
    Sweep,
)
from v2drop_cli.report import sweep_words, wording
from v2drop_cli.report.claims import claims
from v2drop_cli.report.sweep_finding import sweep_finding
from v2drop_cli.report.terms import GROWTH, LARGEST, PREDICTED, RATE, SERVED, SPEEDUP
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.view import Bar, Bars, Cell, Fact, Glance, Row, Section, View, claim_cell
from v2drop_cli.units import (
    format_bytes,
    format_count,
    format_flops,
    format_rate,
    format_seconds,
)

_SAID_ELSEWHERE = {CaveatKind.DUMMY_WEIGHTS.code, CaveatKind.DEVICE_CPU.code}
_OF_MEDIA = (FRAMES, IMAGE_SIZE)
_NOTHING = Cell(wording.NOTHING, "muted", filler=True)

Value = Callable[[Point], tuple[str, float | None]]
"""What a point says in one row, and the number that it shows."""


def build_sweep_view(sweep: Sweep) -> View:
    """Put ``sweep`` into words."""
    sizes = [sweep_words.sized(sweep.dimension, size) for size in sweep.sizes]
    return View(
        facts=tuple(_facts(sweep)),
        columns=tuple(sizes),
        sections=tuple(
            Section(clean(curve.label), tuple(_rows(sweep, curve))) for curve in sweep.curves
        ),
        footer=tuple(_footer(sweep)),
        glance=_glance(sweep),
        finding=Cell(*sweep_finding(sweep)),
        notes=tuple(_notes(sweep)),
        curves=tuple(_curves(sweep)),
    )


def summarised_sweep(sweep: Sweep, command: str | None) -> Sweep:
    """``sweep`` with the sentence in it, and with the command line that made it."""
    text, _ = sweep_finding(sweep)
    return replace(sweep, summary=text.replace(GLUE, " "), command=command)


def _facts(sweep: Sweep) -> Iterator[Fact]:
    request = sweep.request
    if request.weights == DUMMY:
        yield Fact("WARNING", wording.DUMMY_LABEL, "warn")
    for number, media in enumerate(request.media):
        first = ", the smallest of them" if sweep.dimension in _OF_MEDIA else ""
        yield Fact("" if number else "media", wording.media(media) + first)
    yield Fact("model", wording.model(sweep))
    yield Fact("prompt", clean(request.prompt, lines=True) or wording.EMPTY)
    name = clean(sweep.dimension.replace("_", " "))
    yield Fact("growing", f"{name}: {', '.join(map(str, sweep.sizes))}")


# How it grows ----------------------------------------------------------------------------------


def _glance(sweep: Sweep) -> Glance | None:
    if not sweep.curves:
        return None
    known = [curve.capacity for curve in sweep.curves if curve.capacity is not None]
    limit = f" in {format_bytes(known[0].limit_bytes)}" if known else ""
    columns = ("prefill", "its FLOPs", "peak memory", "over weights", glued(f"fits{limit}"))
    rows = tuple(Row(clean(curve.label), _grown(sweep, curve)) for curve in sweep.curves)
    about = (GROWTH, GROWTH, GROWTH, GROWTH, LARGEST)
    words = sweep_words.AXIS_WORDS[sweep.axis]
    return Glance(f"Grows with {words} to the power of", columns, rows, (), about)


def _grown(sweep: Sweep, curve: Curve) -> tuple[Cell, ...]:
    found = curve.growth
    slopes = (
        (found.prefill_time, found.prefill_flops, found.peak_memory, found.memory_over_weights)
        if found is not None
        else (None,) * 4
    )
    cells = [_exponent(slope) for slope in slopes]
    capacity = curve.capacity
    size = None if capacity is None else capacity.size
    fits = sweep_words.fits(capacity, sweep.dimension)
    return (*cells, Cell(fits, value=None if size is None else float(size)))


def _exponent(slope: Slope | None) -> Cell:
    return Cell(sweep_words.exponent(slope), value=None if slope is None else slope.exponent)


def _notes(sweep: Sweep) -> Iterator[Fact]:
    for curve in sweep.curves:
        if curve.capacity is not None:
            text, tone = sweep_words.fits_in_full(curve.capacity, sweep.dimension)
            yield Fact(f"{clean(curve.label)} fits", text, tone)
    for found in sweep.throughput:
        text, tone = sweep_words.best(found, sweep)
        yield Fact(f"{clean(found.arm)} serves", text, tone)


def _curves(sweep: Sweep) -> Iterator[Bars]:
    yield Bars("Prefill", tuple(_bars(sweep, _prefill)))
    yield Bars("Peak memory", tuple(_bars(sweep, _peak)))


def _bars(sweep: Sweep, value: Value) -> Iterator[Bar]:
    for curve in sweep.curves:
        for number, point in enumerate(curve.measured):
            text, length = value(point)
            if length is not None:
                at = sweep_words.sized(sweep.dimension, point.size)
                yield Bar("" if number else clean(curve.label), at, length, text)


# Every size ------------------------------------------------------------------------------------


def _rows(sweep: Sweep, curve: Curve) -> Iterator[Row]:
    points = _by_size(sweep, curve)
    first = tuple(_first_cell(point) for point in points)
    yield Row("prefill", first, "prefill")
    if any(point is not None and point.comparison is not None for point in points):
        yield Row("speed-up", tuple(map(_speedup, points)), SPEEDUP)
    yield _row("decode / token", points, _decode, "decode")
    yield _row("tokens / s", points, lambda p: _rate(p.tokens_per_s), RATE)
    if sweep.dimension == BATCH_SIZE:
        yield _row("requests / s", points, lambda p: _rate(p.requests_per_s), SERVED)
    yield _row("peak memory", points, _peak, "peak_memory")
    if any(point is not None and point.predicted is not None for point in points):
        yield _row("predicted", points, _predicted, PREDICTED, everywhere=True)
    yield _row("KV cache", points, _cache, "kv_cache")
    yield _row("vision tokens", points, _tokens, "vision_tokens", everywhere=True)
    yield _row("prefill FLOPs", points, _flops, "prefill_flops")


def _by_size(sweep: Sweep, curve: Curve) -> list[Point | None]:
    known = {point.size: point for point in curve.points}
    return [known.get(size) for size in sweep.sizes]


def _row(
    label: str,
    points: Sequence[Point | None],
    value: Value,
    about: str,
    *,
    everywhere: bool = False,
) -> Row:
    """A cell per size; ``everywhere``: also where the arm was not measured."""
    cells = []
    for point in points:
        if point is None or not (everywhere or point.measured):
            cells.append(_NOTHING)
            continue
        text, number = value(point)
        cells.append(Cell(glued(text), value=number))
    return Row(label, tuple(cells), about)


def _first_cell(point: Point | None) -> Cell:
    """The time, or why there is none."""
    if point is None:
        return Cell("not reached", "muted")
    if not point.measured:
        return Cell(*sweep_words.outcome(point.outcome))
    return Cell(wording.time(point.prefill_s), value=point.prefill)


def _speedup(point: Point | None) -> Cell:
    if point is None or point.comparison is None:
        return _NOTHING
    return next(claim_cell(each) for each in claims(point.comparison) if each.name == "prefill")


def _prefill(point: Point) -> tuple[str, float | None]:
    return format_seconds(point.prefill), point.prefill


def _decode(point: Point) -> tuple[str, float | None]:
    return format_seconds(point.decode), point.decode


def _peak(point: Point) -> tuple[str, float | None]:
    return format_bytes(point.peak_bytes), point.peak_bytes


def _predicted(point: Point) -> tuple[str, float | None]:
    return format_bytes(point.predicted_bytes), point.predicted_bytes


def _cache(point: Point) -> tuple[str, float | None]:
    return format_bytes(point.kv_cache_bytes), point.kv_cache_bytes


def _tokens(point: Point) -> tuple[str, float | None]:
    return format_count(point.vision_tokens), point.vision_tokens


def _flops(point: Point) -> tuple[str, float | None]:
    return format_flops(point.prefill_flops), point.prefill_flops


def _rate(value: float | None) -> tuple[str, float | None]:
    return format_rate(value), value


# Below it --------------------------------------------------------------------------------------


def _footer(sweep: Sweep) -> Iterator[Fact]:
    yield Fact("reading", _reading(sweep))
    yield Fact("measured", _measured(sweep))
    for curve in sweep.curves:
        for point in curve.points:
            said = point.message or _over(sweep, point)
            if said is not None:
                at = sweep_words.sized(sweep.dimension, point.size)
                yield Fact(clean(curve.label), f"{at}: {clean(said)}", "warn")
    yield from _still(sweep)
    if sweep.partial:
        yield Fact("stopped", f"{clean(sweep.stopped_by).upper()}: partial", "warn")
    for caveat in sweep.warnings:
        if caveat.code not in _SAID_ELSEWHERE:
            yield Fact("warning", clean(caveat.message), "warn")


def _over(sweep: Sweep, point: Point) -> str | None:
    """On a CPU the prediction keeps the limit, and the peak may not."""
    limit, peak = sweep.max_memory_bytes, point.peak_bytes
    if limit is None or peak is None or peak <= limit:
        return None
    return f"its peak of {format_bytes(peak)} is over the {format_bytes(limit)} asked for"


def _still(sweep: Sweep) -> Iterator[Fact]:
    """Some towers take every picture at one size: then nothing grows."""
    tokens = {point.vision_tokens for curve in sweep.curves for point in curve.points}
    if sweep.axis == VISION_TOKENS and len(tokens) == 1 and len(sweep.sizes) > 1:
        name = clean(sweep.dimension.replace("_", " "))
        said = (
            f"this model's vision tokens do not grow with the {name}: {min(tokens)} at every size"
        )
        yield Fact("warning", said, "warn")


def _reading(sweep: Sweep) -> str:
    return (
        f"exponents by least squares over logarithms, with the 95{GLUE}% interval of how far the "
        f"sizes lie off the line (none for two sizes); {wording.READING}"
    )


def _measured(sweep: Sweep) -> str:
    rounds = [p.rounds for curve in sweep.curves for p in curve.measured]
    request = sweep.request
    if not rounds:
        return "nothing was timed"
    count = (
        wording.plural(rounds[0], "round")
        if min(rounds) == max(rounds)
        else f"{min(rounds)} to {max(rounds)} rounds"
    )
    tokens = wording.plural(request.timed_new_tokens, "new token")
    clock = f"; {wording.CPU_CLOCK}" if request.device.startswith("cpu") else ""
    return f"median of {count} at each size; {tokens} per timed generation{clock}"
