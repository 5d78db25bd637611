"""The grids of kept tokens: each token where its span says."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.report import factory
from v2drop_cli.records import Drop, Grid, Span
from v2drop_cli.report.html.kept_panel import kept_panel


def placed():
    """A picture of 24 x 24 tokens that begins at position 5."""
    span = Span(0, Grid(1, 24, 24), ((5, 576),))
    whole = factory.report()
    return replace(whole, request=replace(whole.request, spans=(span,)))


def strokes(panel):
    """Of every slide and grid, the (row, first, last) that stay."""
    slides = panel.split("<figure")[1:]
    return [
        [
            [
                (int(y or 0), int(x), int(x) + int(n))
                for x, y, n in re.findall(r"M(\d+) (\d*)\.5h(\d+)", path)
            ]
            for path in re.findall(r'<path d="([^"]*)"', slide)
        ]
        for slide in slides
    ]


def test_a_slide_a_drop_with_the_tokens_that_stay():
    found = strokes(kept_panel(placed()))
    assert found[0] == [[(row, 0, 24) for row in range(24)]]
    assert found[1] == [[(row, 0, 24) for row in range(12)]]  # 288 leading tokens
    assert found[2] == [[(0, 0, 24), (1, 0, 24), (2, 0, 24), (3, 0, 14)]]  # 86
    assert found[3] == [[]]


def test_frames_and_broken_runs_are_drawn_in_raster_order():
    span = Span(0, Grid(2, 1, 3), ((4, 3), (8, 3)))
    whole = factory.report()
    drop = Drop(1, 6, 3, ((4, 6, 9),))
    arms = (whole.arms[0], replace(whole.arms[1], drops=(drop,)))
    report = replace(whole, request=replace(whole.request, spans=(span,)), arms=arms)
    panel = kept_panel(report)
    assert strokes(panel)[1] == [[(0, 0, 1), (0, 2, 3)], [(0, 1, 2)]]
    assert "3 tokens, from layer 1 on" in panel


def test_an_arm_that_is_done_stays_as_it_is():
    whole = placed()
    short = replace(whole.arms[1], label="short", drops=whole.arms[1].drops[:1])
    found = strokes(kept_panel(replace(whole, arms=(*whole.arms, short))))
    assert found[3][1] == found[1][1] == found[1][0]


def test_nothing_is_drawn_where_no_place_is_known():
    assert kept_panel(factory.report()) is None
    assert kept_panel(replace(placed(), arms=placed().arms[:1])) is None
