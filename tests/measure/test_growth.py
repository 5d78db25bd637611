"""Exponents against numbers that were worked out by hand, and against the analytic FLOPs."""

from __future__ import annotations

import math

import pytest

from v2drop_cli.measure.growth import growth, slope
from v2drop_cli.measure.work import DecoderShape, limit
from v2drop_cli.records import Memory, Stats
from v2drop_cli.records.curves import MEASURED, PROMPT_TOKENS, ROWS, VISION_TOKENS, Point


def point(tokens, **changes):
    return Point(tokens, MEASURED, None, changes.pop("rows", 1), tokens + 10, tokens, **changes)


def test_a_power_law_is_found_exactly():
    xs = [3, 7, 20, 55]
    found = slope(xs, [5 * x**1.5 for x in xs])
    assert found.exponent == pytest.approx(1.5)
    assert found.ci95 == (pytest.approx(1.5), pytest.approx(1.5))


def test_the_interval_is_that_of_the_textbook():
    """Logarithms 0, 1, 2, 3 against 1, 3, 4, 8: slope 2.2, residuals 0.3, 0.1, -1.1 and 0.7.

    Their squares sum to 1.8; 1.8 / 2 over a spread of 5 is 0.18; t(0.975, 2) is 4.302653.
    """
    found = slope([math.exp(x) for x in range(4)], [math.exp(y) for y in (1, 3, 4, 8)])
    assert found.exponent == pytest.approx(2.2)
    reach = 4.302653 * math.sqrt(0.18)
    assert found.ci95 == (pytest.approx(2.2 - reach, 1e-6), pytest.approx(2.2 + reach, 1e-6))


def test_two_sizes_have_a_slope_and_no_interval():
    found = slope([2, 8], [1.0, 16.0])
    assert (found.exponent, found.ci95) == (pytest.approx(2.0), None)


@pytest.mark.parametrize(
    ("xs", "ys"),
    [([1, 2], [1.0, None]), ([1, 2], [1.0, 0.0]), ([4, 4], [1.0, 2.0]), ([3], [1.0]),
     ([0, 2], [1.0, 2.0])],
)  # fmt: skip
def test_what_has_no_slope(xs, ys):
    assert slope(xs, ys) is None


@pytest.mark.parametrize(
    ("products", "heads", "exponent"),
    [(0, 4, 2.0), (10_000, 0, 1.0), (10_000, 4, None)],
    ids=["attention alone", "linear maps alone", "both"],
)
def test_the_exponent_of_flops_is_the_analytic_one(products, heads, exponent):
    """Two layers without a language head: 2 * (products * n + heads * 2 * 8 * n**2) each."""
    shape = DecoderShape((products, products), 0, 1000, heads, 2, 8, 2)
    sizes = (100, 400)
    points = [point(n, limit=limit(shape, [n, n], 1, None)) for n in sizes]
    flops = [2 * 2 * (products * n + heads * 2 * 8 * n**2) for n in sizes]
    assert [each.prefill_flops for each in points] == flops
    analytic = math.log(flops[1] / flops[0]) / math.log(4)
    found = growth(points, VISION_TOKENS).prefill_flops
    assert found.exponent == pytest.approx(analytic)
    assert exponent is None or analytic == pytest.approx(exponent)


def test_each_quantity_is_against_the_axis_asked_for():
    memory = [Memory(weights_bytes=100, rss_peak_bytes=100 + 50 + 8 * n) for n in (1, 2)]
    points = [
        point(n * 10, rows=n, prefill_s=Stats(n**2, (n**2,)), memory=held)
        for n, held in zip((1, 2), memory, strict=True)
    ]
    by_rows = growth(points, ROWS, process_bytes=50)
    assert by_rows.prefill_time.exponent == pytest.approx(2.0)
    assert by_rows.memory_over_weights.exponent == pytest.approx(1.0)
    assert by_rows.peak_memory.exponent == pytest.approx(math.log2(166 / 158))
    assert by_rows.sizes == (10, 20)
    by_prompt = growth(points, PROMPT_TOKENS)  # 20 and 30 tokens
    assert by_prompt.prefill_time.exponent == pytest.approx(math.log(4) / math.log(1.5))


def test_one_size_does_not_grow():
    assert growth([point(5)], VISION_TOKENS) is None
