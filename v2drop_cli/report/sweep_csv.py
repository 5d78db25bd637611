"""Every number of a sweep as CSV: the raw samples, and what is measured once at a size."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from v2drop_cli.records.curves import Point, Sweep

_HEAD = ("arm", "method", "size", "outcome", "quantity", "round", "value")
_TIMES = ("vision_s", "prefill_s", "decode_s_per_token", "generate_s", "wall_s")


def sweep_to_csv(sweep: Sweep) -> str:
    """One line per number; ``size`` is of what grows, ``round`` is empty where there was none."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*_HEAD[:2], sweep.dimension, *_HEAD[3:]))
    for curve in sweep.curves:
        for point in curve.points:
            start = (curve.label, curve.method or "", point.size, point.outcome)
            for quantity, number, value in _numbers(point):
                writer.writerow((*start, quantity, number, repr(value)))
    return stream.getvalue()


def _numbers(point: Point) -> Iterator[tuple[str, int | str, float]]:
    """Name, round and value of everything that is known."""
    for name in _TIMES:
        stats = getattr(point, name)
        for number, sample in enumerate(stats.samples if stats is not None else ()):
            yield name, number, sample
    once = {
        "prompt_tokens": point.prompt_tokens,
        "vision_tokens": point.vision_tokens,
        "tokens_per_s": point.tokens_per_s,
        "requests_per_s": point.requests_per_s,
        "peak_bytes": point.peak_bytes,
        "kv_cache_bytes": point.kv_cache_bytes,
        "predicted_bytes": point.predicted_bytes,
        "prefill_flops": point.prefill_flops,
    }
    for name, value in once.items():
        if value is not None:
            yield name, "", value
