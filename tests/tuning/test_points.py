"""Drops in shares: they meet the layer average, whatever the layers and the split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.schedule import PRESETS, Drop, Schedule, preset, solve_budget
from v2drop_cli.tuning.points import MANY, Point, average, fits, point_of

N_LAYERS = 28


@st.composite
def points(draw):
    empties = draw(st.booleans())
    layers = sorted(draw(st.sets(st.integers(0, N_LAYERS - 1), min_size=1 + empties, max_size=4)))
    weights = [draw(st.floats(0.05, 1)) for _ in layers[: len(layers) - empties]]
    most = (layers[-1] if empties else N_LAYERS) / N_LAYERS
    least = layers[0] / N_LAYERS
    share = least + draw(st.floats(0.02, 0.98)) * (most - least)
    return Point("v2drop", share, tuple(layers), tuple(w / sum(weights) for w in weights), empties)


@given(points())
def test_a_point_meets_its_layer_average(point):
    assert fits(point.share, point.layers, N_LAYERS, point.empties)
    schedule = point.schedule(N_LAYERS)
    # Shares are rounded up to four digits: never less than asked for, and never much more.
    assert -1e-5 <= average(schedule, N_LAYERS) - point.share <= 4e-4
    assert [drop.layer for drop in schedule.drops] == list(point.layers)
    assert Schedule.parse(str(schedule)) == schedule
    assert (schedule.drops[-1].keep == 0) >= point.empties


@given(points())
def test_a_schedule_is_one_point(point):
    found = point_of("v2drop", point.schedule(N_LAYERS), N_LAYERS)
    if found is None or (found.layers, found.empties) != (point.layers, point.empties):
        return  # a drop so small that nothing goes, or so large that nothing is left
    assert found.share == pytest.approx(point.share, abs=4e-4)
    again = found.schedule(N_LAYERS)
    for before, after in zip(point.schedule(N_LAYERS).drops, again.drops, strict=True):
        assert after.keep == pytest.approx(before.keep, abs=2e-3)


def test_even_parts_are_what_a_budget_is_solved_to():
    solved = solve_budget(MANY / 3, n_vision=MANY, n_layers=32, layers=(3, 17, 22))
    point = point_of("v2drop", solved, 32)
    assert (point.layers, point.empties) == ((3, 17, 22), True)
    assert point.parts == pytest.approx((0.5, 0.5), abs=1e-5)
    assert str(point.schedule(32)) == "3:0.4691,17:0.4691,22:0"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_points(name):
    schedule = preset(name, PRESETS, 32)
    again = point_of("v2drop", schedule, 32).schedule(32)
    for before, after in zip(schedule.drops, again.drops, strict=True):
        kept = before.kept(MANY) / MANY if before.keep is None else before.keep
        assert after.keep == pytest.approx(kept, abs=2e-3)


def test_what_drops_nothing_or_all_at_once_is_no_point():
    assert point_of("v2drop", Schedule((Drop(3, 1.0),)), 32) is None
    assert point_of("v2drop", Schedule((Drop(3, 0.0),)), 32) is None
    dropping = point_of("v2drop", Schedule((Drop(3, 1.0), Drop(5, 0.5))), 32)
    assert (dropping.layers, dropping.parts) == ((5,), (1.0,))


def test_the_parts_say_which_drop_takes_more():
    first = Point("v2drop", 0.4, (2, 10), (0.9, 0.1)).schedule(N_LAYERS)
    last = Point("v2drop", 0.4, (2, 10), (0.1, 0.9)).schedule(N_LAYERS)
    assert first.drops[0].keep < last.drops[0].keep
    assert first.drops[1].keep > last.drops[1].keep


def test_the_first_layer_has_to_lie_before_the_budget():
    assert not fits(8 / 32, (8,), 32, empties=False)
    assert fits(8.01 / 32, (8,), 32, empties=False)
    assert fits(22 / 32, (3, 22), 32, empties=True)
    assert not fits(22.01 / 32, (3, 22), 32, empties=True)
