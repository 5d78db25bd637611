"""Quality over time: where a spot is, how far its interval reaches, what the front is made of."""

from __future__ import annotations

import re

import pytest

from v2drop_cli.report.html.front_chart import FrontChart, Spot, drawn_front, front

DENSE = Spot("dense", 4.0, 0.9, (0.8, 1.0), "dense")
ARM = Spot("v2drop", 2.0, 0.85, (0.7, 0.9))
RANDOM = Spot("random", 2.0, 0.6, None, "random")


def chart(*spots):
    return FrontChart("Title", spots, lambda x: f"{x:g} s", lambda y: f"{100 * y:g} %", "Note")


def places(page, pattern):
    return [tuple(map(float, found)) for found in re.findall(pattern, page)]


def test_the_front_is_what_no_other_spot_beats():
    slow = Spot("slow", 9.0, 0.9)
    assert front([slow, DENSE, RANDOM, ARM]) == [ARM, DENSE]
    assert front([DENSE]) == [DENSE]
    assert front([]) == []


def test_of_equal_spots_the_first_is_the_front():
    twin = Spot("twin", 2.0, 0.85)
    assert front([ARM, twin]) == [ARM]


def test_spots_lie_by_cost_and_quality():
    page = drawn_front(chart(DENSE, ARM, RANDOM))
    circles = places(page, '<circle cx="([^%]*)%" cy="([^%]*)%"')
    [diamond] = places(page, '<svg x="([^%]*)%" y="([^%]*)%" overflow')
    (x, y), (random_x, random_y) = circles
    assert x == random_x < diamond[0]
    assert diamond[1] < y < random_y
    assert (y - diamond[1]) / (random_y - y) == pytest.approx(0.05 / 0.25, rel=1e-3)
    assert all(0 < place < 100 for pair in (*circles, diamond) for place in pair)


def test_intervals_reach_from_end_to_end_and_only_where_there_is_one():
    page = drawn_front(chart(DENSE, ARM, RANDOM))
    reaches = places(page, 'y1="([^%]*)%" y2="([^%]*)%" class="reach"')
    assert len(reaches) == 2
    (low, high), (arm_low, arm_high) = reaches
    assert high < arm_high < low < arm_low
    assert (low - high) / (arm_low - arm_high) == pytest.approx(1.0, rel=1e-2)


def test_the_front_is_drawn_as_steps_between_its_spots():
    page = drawn_front(chart(DENSE, ARM, RANDOM))
    lines = places(page, 'x1="([^%]*)%" x2="([^%]*)%" y1="([^%]*)%" y2="([^%]*)%" class="step"')
    across, up = lines
    assert across[2] == across[3] == up[2]
    assert up[0] == up[1] == across[1]
    assert up[2] > up[3]
    assert page.count(" on the front") == 2


def test_words_say_what_is_drawn():
    page = drawn_front(chart(DENSE, ARM, RANDOM))
    assert "<li>1 <b>dense</b> 90 % [80 %, 100 %] at 4 s on the front</li>" in page
    assert "<li>3 <b>random</b> 60 % at 2 s</li>" in page
    assert re.findall('class="number">([0-9])<', page) == ["1", "2", "3"]
    assert 'class="spot random"' in page


@pytest.mark.parametrize("spots", [(), (DENSE,)])
def test_less_than_two_are_no_front(spots):
    assert drawn_front(chart(*spots)) is None


def test_equal_numbers_and_names_do_no_harm():
    page = drawn_front(chart(Spot("<b>", 1.0, 1.0, (1.0, 1.0)), Spot("b", 1.0, 1.0, (1.0, 1.0))))
    assert "<b>&lt;b&gt;</b>" in page
    assert places(page, '<circle cx="([^%]*)%" cy="([^%]*)%"') == [(51.0, 47.0)] * 2
