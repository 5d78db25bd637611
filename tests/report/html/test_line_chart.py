"""Lines over logarithmic axes: a power law is straight, and nothing is drawn that is none."""

from __future__ import annotations

import itertools
import re

import pytest

from v2drop_cli.report.html.line_chart import COLOURS, Line, LineChart, LogScale, drawn_lines

SCALE = LogScale(1.0, 16.0, 0.0, 100.0)


def chart(*lines):
    return LineChart("Title", lines, lambda x: f"{x:g} frames", lambda y: f"{y:.3g} s")


def circles(page):
    return [
        (float(x), float(y)) for x, y in re.findall('<circle cx="([^%]*)%" cy="([^%]*)%"', page)
    ]


def test_a_scale_is_of_logarithms():
    assert [SCALE.percent(value) for value in (1.0, 2.0, 4.0, 16.0)] == [0.0, 25.0, 50.0, 100.0]
    assert SCALE.ticks == [1.0, 4.0, 16.0]
    still = LogScale(3.0, 3.0, 0.0, 80.0)
    assert (still.percent(3.0), still.ticks) == (40.0, [3.0])


def test_a_power_law_is_straight():
    page = drawn_lines(chart(Line("dense", [(x, x**1.5) for x in (1, 2, 4, 16)])))
    places = circles(page)
    slopes = {round((y2 - y1) / (x2 - x1), 2) for (x1, y1), (x2, y2) in itertools.pairwise(places)}
    assert len(slopes) == 1
    assert slopes.pop() < 0  # upwards: heights are counted from the top
    assert page.count("frames</text>") == 4
    assert list(re.findall(">([^<]*) s</text>", page)) == ["1", "8", "64"]


def test_all_lines_are_on_one_scale_and_each_has_its_colour():
    lines = [Line(f"arm {at}", [(1, 1.0 + at), (2, 2.0 + at)]) for at in range(COLOURS + 1)]
    page = drawn_lines(chart(*lines))
    assert page.count('<g class="line-1"') == 2
    assert page.count('<g class="line-5"') == 1
    assert all(f"arm {at}" in page for at in range(COLOURS + 1))
    heights = [y for _, y in circles(page)]
    assert min(heights) >= 0
    assert max(heights) <= 100


@pytest.mark.parametrize("points", [[], [(3, 1.0)]])
def test_what_is_no_line_is_not_drawn(points):
    assert drawn_lines(chart(Line("dense", points))) is None
    both = drawn_lines(chart(Line("dense", points), Line("v2drop", [(1, 1.0), (2, 1.0)])))
    assert "dense" not in both
    assert len(circles(both)) == 2


def test_names_are_escaped():
    assert "<b>" not in drawn_lines(chart(Line("<b>", [(1, 1.0), (2, 3.0)])))
