"""The one sentence of a sweep: who is faster at which sizes, how it grows, what fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2drop_cli.records import RANDOM
from v2drop_cli.records.curves import BY_PREDICTION, Best, Curve, Point, Slope, Sweep
from v2drop_cli.records.verdicts import FASTER, MORE, SLOWER
from v2drop_cli.report.sweep_words import AXIS_WORDS, fits, sized
from v2drop_cli.report.text import clean, glued
from v2drop_cli.report.wording import Said, Tone, listed
from v2drop_cli.units import format_bytes, format_rate, format_ratio

_PREFILL = "prefill_speedup"
_CLOSE = 0.5
"""Half-width of an exponent's interval up to which it is said: linear and quadratic are 1 apart."""


def sweep_finding(sweep: Sweep) -> Said:
    """The sentence and its tone."""
    if not any(curve.measured for curve in sweep.curves):
        return "no arm had room at any size.", "bad"
    arm = lead(sweep)
    parts = [*_speed(sweep, arm), *_growth(sweep, arm), *_fitting(sweep, arm), *_serving(sweep)]
    start = "partial, so far: " if sweep.partial else ""
    said = [_verdict(point) for point in arm.measured] if arm is not None else []
    tone: Tone = "good" if FASTER in said[-1:] else "bad" if SLOWER in said else "plain"
    return f"{start}{'; '.join(parts)}.", tone


def lead(sweep: Sweep) -> Curve | None:
    """The arm that the sentence is about: the largest prefill speed-up at the largest size.

    Random selection only where there is no other; ``None`` where only the first arm was measured.
    """
    others = [curve for curve in sweep.curves[1:] if curve.measured]
    methods = [curve for curve in others if curve.method != RANDOM] or others
    return max(methods, key=_last_gain, default=None)


def _last_gain(curve: Curve) -> tuple[int, float]:
    last = curve.measured[-1]
    return last.size, _ratio(last) or 0.0


def _ratio(point: Point) -> float | None:
    found = point.comparison
    return found.prefill_speedup.median if found and found.prefill_speedup else None


def _verdict(point: Point) -> str | None:
    found = point.comparison.verdict(_PREFILL) if point.comparison else None
    return found.verdict if found else None


def _speed(sweep: Sweep, arm: Curve | None) -> Iterator[str]:
    if arm is None:
        return
    reference, name = clean(sweep.curves[0].label), clean(arm.label)
    against = [point for point in arm.measured if _ratio(point) is not None]
    if not against:
        yield f"{name} has no size in common with {reference}"
        return
    faster = [point for point in against if _verdict(point) == FASTER]
    slower = [point for point in against if _verdict(point) == SLOWER]
    if not faster and not slower:
        yield f"{name} is not shown to prefill faster or slower than {reference} at any size"
    for word, found in ((FASTER, faster), (SLOWER, slower)):
        if found:
            where = _everywhere(sweep.curves[0], arm) if len(found) == len(against) else ""
            yield f"{name} prefills {word} than {reference}{where}: {_gains(sweep, found)}"


def _everywhere(*arms: Curve) -> str:
    """Sizes at which only one of the two had room show nothing of their speed."""
    full = all(point.measured for arm in arms for point in arm.points)
    return " at every size" + ("" if full else " with room for both")


def _gains(sweep: Sweep, found: Sequence[Point]) -> str:
    """At the smallest and at the largest of these sizes."""
    shown = [found[0], found[-1]] if len(found) > 1 else found[:1]
    return listed(
        [
            f"{glued(format_ratio(_ratio(point)))} at {sized(sweep.dimension, point.size)}"
            for point in shown
        ]
    )


def _growth(sweep: Sweep, arm: Curve | None) -> Iterator[str]:
    """Exponents that the sizes settle, and the names of the others."""
    words = AXIS_WORDS[sweep.axis]
    curves = [c for c in (sweep.curves[0], arm) if c is not None]
    slopes = [(c.label, c.growth.prefill_time) for c in curves if c.growth is not None]
    found = [(clean(label), slope) for label, slope in slopes if slope is not None]
    parts = [f"{glued(f'{one.exponent:.2f}')} ({label})" for label, one in found if _settled(one)]
    if parts:
        yield f"prefill time grows with {words} to the power of {listed(parts)}"
    unclear = [label for label, slope in found if not _settled(slope)]
    if unclear:
        yield (
            f"how prefill time grows with {words} is unclear for {listed(unclear)}: the sizes lie "
            "too far off a line"
        )


def _settled(slope: Slope) -> bool:
    """Two sizes always lie on a line, and nobody says how well; that is told beside them."""
    return slope.ci95 is None or slope.ci95[1] - slope.ci95[0] <= 2 * _CLOSE


def _fitting(sweep: Sweep, arm: Curve | None) -> Iterator[str]:
    known = [c for c in (sweep.curves[0], arm) if c is not None and c.capacity is not None]
    if not known:
        return
    first = known[0].capacity
    limit = glued(format_bytes(first.limit_bytes if first else None))
    parts = [
        f"{fits(c.capacity, sweep.dimension).removesuffix(' (predicted)')} ({clean(c.label)})"
        for c in known
    ]
    how = ", by prediction" if first is not None and first.by == BY_PREDICTION else ""
    yield f"{limit} hold {listed(parts)}{how}"


def _serving(sweep: Sweep) -> Iterator[str]:
    """The most requests a second, and of which arm."""
    won = [found for found in sweep.throughput if found.verdict and found.verdict.verdict == MORE]
    if sweep.throughput and not won and len(sweep.throughput) > 1:
        yield "no arm is shown to serve more requests a second at its best batch size"
    if won:
        most = max(won, key=lambda found: found.requests_per_s)
        gain = glued(format_ratio(most.gain.median if most.gain else None))
        yield (
            f"at its best batch size ({most.size}) {clean(most.arm)} serves "
            f"{format_rate(most.requests_per_s)} requests/s, {gain} of {_at_its_best(sweep, most)}"
        )


def _at_its_best(sweep: Sweep, best: Best) -> str:
    """The first arm, which may have no room for the other's best size."""
    reference = sweep.curves[0]
    own = [found.size for found in sweep.throughput if found.arm == reference.label]
    said = clean(reference.label) + (f" at its own ({own[0]})" if own else "")
    if any(point.size == best.size and not point.measured for point in reference.points):
        said += f", which has no room for {best.size}"
    return said
