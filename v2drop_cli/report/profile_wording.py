"""The words that only ``v2drop profile`` needs: why it stopped, what scoring costs."""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.records import INTERRUPTED, Comparison, Limit, Overhead, Protocol, Report
from v2drop_cli.report.claims import reason_words
from v2drop_cli.report.text import clean, glued
from v2drop_cli.report.wording import percent, plural
from v2drop_cli.units import NOT_AVAILABLE, format_flops, format_ratio, format_seconds

LAUNCH_BOUND = (
    "launch-bound: the GPU waited for Python to launch its work, so a smaller KV cache cannot "
    "show in the time per token; v2drop profile --decode compiled takes the launches away"
)


def stopped(protocol: Protocol) -> str:
    """Why measuring ended, and how precise the least precise prefill ratio is."""
    reached = protocol.reached_precision
    after = f"after {plural(protocol.rounds, 'round')}, {glued(format_seconds(protocol.elapsed_s))}"
    why = {
        "precision": f"precise enough {after}",
        "time": f"time over {after}",
        "interrupted": f"INTERRUPTED {after}: partial",
        "running": f"still running {after}: partial",
    }.get(protocol.stopped_by, f"{clean(protocol.stopped_by)} {after}")
    wanted = glued(f"±{percent(protocol.precision)}")
    if reached is None:
        return f"{why}; how precise the prefill ratios are is not known (wanted: {wanted})"
    return f"{why}; prefill ratios known to {glued(f'±{percent(reached)}')} (wanted: {wanted})"


def cut_short(report: Report) -> str:
    """Why a report of ``v2drop run`` has fewer rounds than were asked for."""
    why = "INTERRUPTED" if report.ended_by == INTERRUPTED else "still running"
    return f"{why} after {plural(report.rounds, 'round')}: partial"


def machine(protocol: Protocol) -> str:
    """Clock, temperature and power between the rounds, and the rounds that were left out."""
    states = protocol.machine
    parts = [
        _range([state.sm_clock_mhz for state in states], "MHz"),
        _range([state.temperature_c for state in states], "C"),
        _range([state.power_w for state in states], "W"),
    ]
    if protocol.idle_power_w is not None:
        parts.append(glued(f"idle {protocol.idle_power_w:.0f} W"))
    if protocol.invalid_rounds:
        parts.append(f"{plural(protocol.invalid_rounds, 'round')} left out: slowed down")
    return ", ".join(part for part in parts if part) or NOT_AVAILABLE


def _range(values: Sequence[float | None], unit: str) -> str:
    """``1965 to 1980 MHz``; empty where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = (f"{value:.0f}" for value in (min(known), max(known)))
    return glued(f"{low} {unit}" if low == high else f"{low} to {high} {unit}")


def scoring(overhead: Overhead) -> str:
    """Say what scoring costs over random selection, as a time and a share of dense prefill."""
    names = f"prefill of {clean(overhead.arm)} less {clean(overhead.random_arm)}"
    parts = [glued(format_seconds(overhead.prefill_s))]
    if overhead.ci95 is not None:
        low, high = (glued(format_seconds(bound)) for bound in overhead.ci95)
        parts.append(f"[{low}, {high}]")
    said = f"{names}: {' '.join(parts)}"
    if overhead.verdict is None:
        return said
    if overhead.verdict.reason is not None:
        return f"{said}, {glued(reason_words(overhead.verdict.reason))}"
    share = glued(f"{overhead.share_of_dense_prefill * 100:.2g} % of dense prefill")
    return f"{said}, {share}"


def batch(size: int) -> str:
    """Say that counts, times and memory are of all rows together."""
    return f"{plural(size, 'row')} of this prompt: all figures are of the whole batch"


def work(limit: Limit | None) -> str:
    """Arithmetic of one prefill."""
    return glued(format_flops(limit.prefill_flops if limit else None))


def ideal(comparison: Comparison | None) -> str:
    """The prefill speed-up that the arithmetic saved would give; empty for the reference."""
    if comparison is None:
        return ""
    if comparison.ideal_prefill_speedup is None:
        return NOT_AVAILABLE
    return format_ratio(comparison.ideal_prefill_speedup)


def realised(comparison: Comparison | None) -> str:
    """How much of the ideal was measured; empty for the reference."""
    if comparison is None:
        return ""
    if comparison.realised_over_ideal is None:
        return NOT_AVAILABLE
    prefill = comparison.verdict("prefill_speedup")
    if prefill is not None and prefill.reason is not None:
        return glued(reason_words(prefill.reason))
    return f"{glued(percent_of(comparison.realised_over_ideal))} of ideal"


def percent_of(share: float) -> str:
    """A share that may be above 1: ``94 %``."""
    return f"{share * 100:.0f} %"


def floor(limit: Limit | None) -> str:
    """The least time per token that the memory's bandwidth allows."""
    return glued(format_seconds(limit.decode_floor_s_per_token if limit else None))


def launch_bound(time: str) -> str:
    """The time per token of a GPU that waited for launches."""
    return f"{time} launch-bound"


def capture(seconds: float | None) -> str:
    """What recording the compiled decoding took; in no other figure."""
    return glued(format_seconds(seconds))
