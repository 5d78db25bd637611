"""Charts: where a mark is, and that marks of one value are under each other."""

from __future__ import annotations

import re

import pytest

from v2drop_cli.report.html.charts import Chart, Lane, Mark, Scale, drawn


def test_a_bar_is_as_long_as_what_it_shows():
    lanes = [Lane("a", "1 s", (Mark("bar", 0, 1, "x"),)), Lane("b", "4 s", (Mark("bar", 1, 4),))]
    page = drawn(Chart("t", lanes, Scale(0, 4)))
    bars = re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%" class="bar ?(\w*)"', page)
    assert bars == [("0", "25", "x"), ("25", "75", "")]


def test_every_sample_is_a_stroke_at_its_place():
    page = drawn(Chart("t", [Lane("a", samples=(1.0, 2.0, 3.0, 3.0))], Scale(1, 3)))
    assert re.findall(r"M(\d+) 2v14", page) == ["0", "500", "1000", "1000"]


def test_points_whiskers_ticks_bands_and_goals_lie_by_their_values():
    marks = (
        Mark("band", 1, 2), Mark("whisker", 2, 3), Mark("tick", 3, 3), Mark("point", 4, 4),
        Mark("goal", 2, 2),
    )  # fmt: skip
    page = drawn(Chart("t", [Lane("a", marks=marks)], Scale(0, 4)))
    assert '<rect x="25%" width="25%" class="band"' in page
    assert '<line x1="50%" x2="75%" y1="9" y2="9" class="whisker"' in page
    assert '<line x1="75%" x2="75%" y1="0" y2="18" class="tick"' in page
    assert '<circle cx="100%"' in page
    assert '<svg x="50%" overflow="visible" class="goal"' in page


@pytest.mark.parametrize("values", [(1.0,), (0.0,), (0.5, 2.5), (1e-6, 3e-6), (4.0, 9e9)])
def test_a_scale_holds_all_and_its_ticks_are_few_and_on_it(values):
    scale = Scale.around(values)
    assert all(0 < scale.percent(value) < 100 for value in values)
    assert 1 <= len(scale.ticks()) <= 4
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())


def test_labels_are_text():
    page = drawn(Chart("<t>", [Lane("<a>", "<b>")], Scale(0, 1), legend=[("x", "<l>")], note="<n>"))
    assert not re.search(r"<[tabln]>", page)
