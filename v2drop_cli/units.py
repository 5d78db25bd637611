"""Units of the records, and how people read them. All human formatting lives here.

What could not be measured is ``None`` and reads ``n/a``: never 0.
"""

from __future__ import annotations

import re

NOT_AVAILABLE = "n/a"

Seconds = float
Bytes = int
Joules = float


def format_seconds(value: Seconds | None) -> str:
    """Three significant digits in the unit that fits: ``12.3 ms``, ``1.23 s``, ``45.6 µs``.

    >>> format_seconds(0.01234), format_seconds(None), format_seconds(75.0)
    ('12.3 ms', 'n/a', '75.0 s')
    """
    if value is None:
        return NOT_AVAILABLE
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if abs(value) >= scale * 0.9995:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{_three_digits(value / 1e-6)} µs"


def format_bytes(value: Bytes | None) -> str:
    """Powers of 1024: ``512 B``, ``1.50 MiB``, ``13.4 GiB``.

    >>> format_bytes(1536 * 1024), format_bytes(0), format_bytes(None)
    ('1.50 MiB', '0 B', 'n/a')
    """
    if value is None:
        return NOT_AVAILABLE
    scaled = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(scaled) < 1024:
            return f"{value} B" if unit == "B" else f"{_three_digits(scaled)} {unit}"
        scaled /= 1024
    return f"{_three_digits(scaled)} TiB"


_NO_MEMORY = 2.0**63
"""Bytes: more than any machine has, and than a float of many digits can be turned into."""


def parse_bytes(text: str) -> Bytes:
    """A size as people write it; units with an ``i`` are powers of 1024, the others of 1000.

    Raises:
        ValueError: no size, or none above 0.

    >>> parse_bytes("24GiB"), parse_bytes("1.5 MB"), parse_bytes("4096")
    (25769803776, 1500000, 4096)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.strip().upper())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size")
    power = " KMGT".index(match[2] or " ")
    size = float(match[1]) * (1024 if match[3] else 1000) ** power
    if size < 1:
        raise ValueError(f"{text!r} is nothing")
    if size >= _NO_MEMORY:
        raise ValueError(f"{text[:20]!r} is more than any memory")
    return int(size)


def format_flops(value: int | None) -> str:
    """Powers of 1000: ``8.52 TFLOP``.

    >>> format_flops(8_520_000_000_000), format_flops(950), format_flops(None)
    ('8.52 TFLOP', '950 FLOP', 'n/a')
    """
    if value is None:
        return NOT_AVAILABLE
    scaled = float(value)
    for unit in ("", "k", "M", "G", "T"):
        if abs(scaled) < 1000:
            return f"{value} FLOP" if not unit else f"{_three_digits(scaled)} {unit}FLOP"
        scaled /= 1000
    return f"{_three_digits(scaled)} PFLOP"


def format_ratio(value: float | None) -> str:
    """A speed-up or a share: ``1.52x``.

    >>> format_ratio(1.5172), format_ratio(None)
    ('1.52x', 'n/a')
    """
    return NOT_AVAILABLE if value is None else f"{value:.2f}x"


def format_rate(value: float | None) -> str:
    """How many a second: three digits.

    >>> format_rate(1.1), format_rate(162.6), format_rate(None)
    ('1.10', '163', 'n/a')
    """
    return NOT_AVAILABLE if value is None else _three_digits(value)


def format_count(value: float | None) -> str:
    """A token count or an average of some: no needless decimals.

    >>> format_count(576), format_count(193.4375), format_count(None)
    ('576', '193.4', 'n/a')
    """
    if value is None:
        return NOT_AVAILABLE
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def format_joules(value: float | None) -> str:
    """Energy of one generation: ``12.3 J``.

    >>> format_joules(12.345), format_joules(None)
    ('12.3 J', 'n/a')
    """
    return NOT_AVAILABLE if value is None else f"{value:.3g} J"


def format_value(unit: str, value: float | None) -> str:
    """``value`` as its unit is read: of a quantity in ``records/metrics.py``.

    >>> format_value("s", 0.01234), format_value("bytes", 1536), format_value("flop", 950)
    ('12.3 ms', '1.50 KiB', '950 FLOP')
    """
    if unit == "s":
        return format_seconds(value)
    if unit == "tokens":
        return format_count(value)
    if unit == "j":
        return format_joules(value)
    whole = None if value is None else int(value)
    return format_bytes(whole) if unit == "bytes" else format_flops(whole)


def format_spread(interval: tuple[float, float] | None, median: float | None) -> str:
    """Half the width of an interval as a percentage of its median: ``±3 %``.

    >>> format_spread((0.9, 1.1), 1.0), format_spread(None, 1.0)
    ('±10 %', '')
    """
    if interval is None or not median:
        return ""
    return f"±{abs(interval[1] - interval[0]) / 2 / abs(median) * 100:.0f} %"


def _three_digits(value: float) -> str:
    size = abs(value)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{decimals}f}"
