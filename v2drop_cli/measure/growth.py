"""How something grows with something else: the exponent of a power law, by least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2drop_cli.records.curves import PROMPT_TOKENS, VISION_TOKENS, Growth, Point, Slope

_TAIL = 0.975  # of a 95 % interval, two-sided


def slope(xs: Sequence[float], ys: Sequence[float | None]) -> Slope | None:
    """The slope of ``log y`` over ``log x``, with its 95 % interval.

    The interval is that of ordinary least squares, from how far the points lie off the line and
    Student's t with two degrees of freedom fewer than points.

    Returns:
        ``None`` if a value is missing or not above 0, or all ``xs`` are the same. Two points have
        no interval: a line goes through any two.

    >>> slope([1, 2, 4], [3.0, 12.0, 48.0]).exponent
    2.0
    """
    known = [y for y in ys if y is not None and y > 0]
    if len(known) < len(ys) or len(set(xs)) < 2 or min(xs) <= 0:
        return None
    logs = [math.log(x) for x in xs]
    values = [math.log(y) for y in known]
    middle, height = math.fsum(logs) / len(logs), math.fsum(values) / len(values)
    spread = math.fsum((x - middle) ** 2 for x in logs)
    rise = math.fsum((x - middle) * (y - height) for x, y in zip(logs, values, strict=True))
    found = rise / spread
    free = len(logs) - 2
    if free < 1:
        return Slope(found, None)
    off = [y - height - found * (x - middle) for x, y in zip(logs, values, strict=True)]
    error = math.sqrt(math.fsum(each**2 for each in off) / free / spread)
    from scipy.stats import t

    reach = float(t.ppf(_TAIL, free)) * error
    return Slope(found, (found - reach, found + reach))


def growth(points: Sequence[Point], axis: str, process_bytes: int = 0) -> Growth | None:
    """How one arm grows over the sizes that it was measured at; ``None`` for fewer than two.

    Args:
        points: these sizes.
        axis: what the exponents are against.
        process_bytes: what the process holds beside weights and prompt; 0 on a GPU.
    """
    if len(points) < 2:
        return None
    xs = [_size(point, axis) for point in points]
    return Growth(
        sizes=tuple(point.size for point in points),
        prefill_time=slope(xs, [point.prefill for point in points]),
        prefill_flops=slope(xs, [point.prefill_flops for point in points]),
        peak_memory=slope(xs, [point.peak_bytes for point in points]),
        memory_over_weights=slope(xs, [_over_weights(point, process_bytes) for point in points]),
    )


def _size(point: Point, axis: str) -> int:
    if axis == VISION_TOKENS:
        return point.vision_tokens
    return point.prompt_tokens if axis == PROMPT_TOKENS else point.rows


def _over_weights(point: Point, process_bytes: int) -> int | None:
    peak, weights = point.peak_bytes, point.weights_bytes
    return None if peak is None or weights is None else peak - weights - process_bytes
