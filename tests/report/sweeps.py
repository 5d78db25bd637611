"""A sweep written by hand: a GPU with 24 GiB, dense ends at 32 frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.report import factory
from v2drop_cli.measure.growth import growth
from v2drop_cli.records import Limit, Memory, Ratio, Verdict
from v2drop_cli.records.curves import (
    AXES,
    BATCH_SIZE,
    BY_TRYING,
    FRAMES,
    MEASURED,
    OUT_OF_MEMORY,
    Best,
    Capacity,
    Curve,
    Footprint,
    Point,
    Sweep,
)
from v2drop_cli.records.verdicts import FASTER, MORE

SIZES = (8, 16, 32)
GIB = 2**30


def point(size: int, power: float, gain: float | None = None, rows: int = 1) -> Point:
    """Prefill grows as ``size ** power``; memory by a GiB for every 8."""
    prefill = factory.stats(0.05 * (size / 8) ** power)
    decode = factory.stats(0.0123)
    wall = factory.stats(prefill.median + 0.2)
    against = None
    if gain is not None:
        ratio = Ratio(gain, (gain * 0.97, gain * 1.03))
        verdict = Verdict("prefill_speedup", FASTER, None)
        against = factory.comparison(prefill_speedup=ratio, verdicts=(verdict,))
    return Point(
        size=size,
        outcome=MEASURED,
        message=None,
        rows=rows,
        prompt_tokens=196 * size + 64,
        vision_tokens=196 * size,
        layer_average_vision_tokens=196.0 * size,
        rounds=10,
        vision_s=factory.stats(0.01 * size),
        prefill_s=prefill,
        decode_s_per_token=decode,
        generate_s=wall,
        wall_s=wall,
        tokens_per_s=rows / decode.median,
        requests_per_s=rows / wall.median,
        memory=Memory(14 * GIB, 10**8 * size, 14 * GIB + GIB * size // 8),
        predicted=Footprint(14 * GIB, 10**8 * size, GIB * size // 9),
        limit=Limit(10**12 * size, 10**10, 10**10, 10**10, None),
        comparison=against,
    )


def without_room(size: int, outcome: str, message: str) -> Point:
    """A row without numbers."""
    known = point(size, 1.0)
    return Point(
        size,
        outcome,
        message,
        1,
        known.prompt_tokens,
        known.vision_tokens,
        predicted=known.predicted,
    )


def capacity(size: int | None, **changes: Any) -> Capacity:
    """Found by trying, a frame fewer than was predicted."""
    found = Capacity(
        limit_bytes=24 * GIB,
        by=BY_TRYING,
        size=size,
        bytes=None if size is None else 23 * GIB,
        next_size=(size or 0) + 1,
        most=4096,
        predicted_size=(size or 0) + 1,
        measured_bytes=None if size is None else 23 * GIB,
        unchecked=None,
    )
    return replace(found, **changes)


def grown(curve: Curve, dimension: str = FRAMES) -> Curve:
    """With its exponents."""
    return replace(curve, growth=growth(curve.measured, AXES[dimension]))


def sweep(**changes: Any) -> Sweep:
    """Three sizes, two arms."""
    full = "Tried to allocate 3.10 GiB"
    dense = [point(8, 1.2), point(16, 1.2), without_room(32, OUT_OF_MEMORY, full)]
    arm = [point(8, 1.05, 1.4), point(16, 1.05, 1.6), point(32, 1.05)]
    curves = (
        grown(Curve("dense", None, tuple(dense), capacity=capacity(27))),
        grown(Curve("v2drop", "v2drop", tuple(arm), capacity=capacity(44))),
    )
    base = factory.profiled()
    found = Sweep(
        environment=base.environment,
        request=replace(base.request, media=(replace(factory.VIDEO, frames=8),), repeats=None),
        dimension=FRAMES,
        sizes=SIZES,
        axis=AXES[FRAMES],
        max_memory_bytes=24 * GIB,
        precision=0.01,
        max_time_s=60.0,
        curves=curves,
        throughput=(),
        stopped_by="sizes",
        partial=False,
        warnings=base.warnings,
    )
    return replace(found, **changes)


def batches() -> Sweep:
    """Rows of a batch, with what each arm serves at best."""
    sizes = (1, 2, 4)
    dense = Curve("dense", None, tuple(point(n, 1.0, rows=n) for n in sizes))
    arm = Curve("v2drop", "v2drop", tuple(point(n, 0.8, 1.3, rows=n) for n in sizes))
    bests = (
        Best("dense", 2, 12.5),
        Best("v2drop", 4, 20.0, Ratio(1.6, (1.5, 1.7)), Verdict("requests_per_s", MORE, None)),
    )
    curves = tuple(grown(curve, BATCH_SIZE) for curve in (dense, arm))
    return sweep(
        dimension=BATCH_SIZE,
        sizes=sizes,
        axis=AXES[BATCH_SIZE],
        curves=curves,
        throughput=bests,
        max_memory_bytes=None,
    )
