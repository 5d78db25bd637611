"""The slides of kept tokens: each token where its span says, over the picture if it is there."""

from __future__ import annotations

import re
from dataclasses import replace

from PIL import Image

from tests.report import factory
from v2drop_cli.records import Drop, Grid, Span
from v2drop_cli.report.html import kept_panel as panels
from v2drop_cli.report.html.kept_panel import WIDE, kept_panel
from v2drop_cli.report.kept_pictures import data_uris

ALL = (0.0, 0.0, 1.0, 1.0)


def placed():
    """A picture of 24 x 24 tokens that begins at position 5."""
    span = Span(0, Grid(1, 24, 24), ((5, 576),), ALL)
    whole = factory.report()
    return replace(whole, request=replace(whole.request, spans=(span,)))


def pictures():
    return data_uris({(0, 0): Image.new("RGB", (64, 48), (20, 200, 40))})


def alive(panel, rows, columns):
    """Of every slide and drawing, the cells that are not crossed out, by row and column."""
    slides = panel.split("<figure")[1:]
    return [
        [_alive(drawing, rows, columns) for drawing in re.findall(r"<svg.*?</svg>", slide)]
        for slide in slides
    ]


def _alive(drawing, rows, columns):
    high = int(re.search(rf'viewBox="0 0 {WIDE} (\d+)"', drawing)[1])
    gone = set()
    for path in re.findall(r'<path d="([^"]*)"[^>]* class="dropped"', drawing):
        for x, y, long in re.findall(r"M(\d+) ([\d.]+)h(\d+)", path):
            row, first = int(float(y) / high * rows), round(int(x) / WIDE * columns)
            gone |= {(row, first + n) for n in range(round(int(long) / WIDE * columns))}
    every = {(row, column) for row in range(rows) for column in range(columns)}
    return sorted(every - gone)


def leading(count):
    """The first tokens of 24 in a row."""
    return sorted((at // 24, at % 24) for at in range(count))


def test_a_slide_a_drop_with_the_tokens_that_stay():
    found = alive(kept_panel(placed()), 24, 24)
    assert found == [[leading(576)], [leading(288)], [leading(86)], [[]]]


def test_frames_and_broken_runs_are_drawn_in_raster_order():
    span = Span(0, Grid(2, 1, 3), ((4, 3), (8, 3)), ALL, (0, 1))
    whole = factory.report()
    drop = Drop(1, 6, 3, ((4, 6, 9),))
    arms = (whole.arms[0], replace(whole.arms[1], drops=(drop,)))
    request = replace(whole.request, spans=(span,), media=(factory.VIDEO,))
    panel = kept_panel(replace(whole, request=request, arms=arms))
    assert alive(panel, 1, 3)[1] == [[(0, 0), (0, 2)], [(0, 1)]]
    assert "3 tokens, from layer 1 on" in panel
    assert re.findall(r"<small>(.*?)</small>", panel) == ["3/3", "3/3", "2/3", "1/3"]


def test_an_arm_that_is_done_stays_as_it_is():
    whole = placed()
    short = replace(whole.arms[1], label="short", drops=whole.arms[1].drops[:1])
    found = alive(kept_panel(replace(whole, arms=(*whole.arms, short))), 24, 24)
    assert found[3][1] == found[1][1] == found[1][0]


def test_a_picture_at_hand_is_stored_once_and_lies_under_every_slide():
    panel = kept_panel(placed(), pictures())
    assert panel.count("data:image/") == 1
    assert panel.count('<use href="#m0f0"') == 4
    assert alive(panel.partition("</svg>")[2], 24, 24)[2] == [leading(86)]
    assert "<use" not in kept_panel(placed())


def test_a_picture_whose_place_is_not_known_is_not_stored():
    whole = placed()
    span = replace(whole.request.spans[0], shown=None)
    unknown = replace(whole, request=replace(whole.request, spans=(span,)))
    assert "data:image/" not in kept_panel(unknown, pictures())


def test_more_than_a_page_holds_is_said(monkeypatch):
    monkeypatch.setattr(panels, "MOST", 100)
    assert "v2drop viz" in kept_panel(placed())
    assert "<svg" not in kept_panel(placed(), pictures())


def test_nothing_is_drawn_where_no_place_is_known():
    assert kept_panel(factory.report()) is None
    assert kept_panel(replace(placed(), arms=placed().arms[:1])) is None
