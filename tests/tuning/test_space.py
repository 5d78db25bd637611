"""Whatever a sampler draws is a schedule that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.errors import ScheduleError
from v2drop_cli.tuning.points import Point, average
from v2drop_cli.tuning.space import DROPS, METHOD, MOST_DROPS, REST, SHARE, Space

LAYERS = {"v2drop": tuple(range(1, 12)), "divprune": (0,), "random": tuple(range(12))}
FIXED, FREE = Space(12, LAYERS, 1 / 3), Space(12, LAYERS, None)
keys = st.integers().map(str)


@given(keys)
def test_everything_at_one_layer_average(key):
    point = FIXED.point(FIXED.any(key))
    assert point.share == 1 / 3
    assert average(point.schedule(12), 12) == pytest.approx(1 / 3, abs=4e-4)
    assert set(point.layers) <= set(LAYERS[point.method])
    assert list(point.layers) == sorted(set(point.layers))
    assert point.layers[0] < 4
    assert 1 <= len(point.layers) <= MOST_DROPS
    assert sum(point.parts) == pytest.approx(1)
    assert len(point.parts) == len(point.layers) - point.empties


@given(keys)
def test_any_layer_average_where_none_is_given(key):
    drawn = FREE.any(key)
    point = FREE.point(drawn)
    first = LAYERS[point.method][0]
    assert (first + 0.5) / 12 <= point.share <= 1
    assert average(point.schedule(12), 12) == pytest.approx(point.share, abs=4e-4)
    assert FREE.drawn(point)[SHARE] == pytest.approx(drawn[SHARE])


@given(keys, st.sampled_from((FIXED, FREE)))
def test_what_was_drawn_can_be_told_from_the_point(key, space):
    point = space.point(space.any(key))
    again = space.point(space.drawn(point))
    assert (again.method, again.layers, again.empties) == (
        point.method,
        point.layers,
        point.empties,
    )
    assert again.share == pytest.approx(point.share)
    if max(point.parts) * 0.05 <= min(point.parts):
        assert again.parts == pytest.approx(point.parts)


def drawn(**changes):
    found = {METHOD: "v2drop", DROPS: 2, REST: False}
    found |= {f"{name}{i}": 0.0 for name in ("layer", "part") for i in range(MOST_DROPS)}
    return found | changes


def test_numbers_choose_among_the_layers_that_are_left():
    assert FIXED.point(drawn()).layers == (1, 2)
    assert FIXED.point(drawn(layer0=0.34, layer1=0.999)).layers == (2, 11)
    assert FIXED.point(drawn(layer0=0.33, layer1=1.0)).layers == (1, 11)
    assert FIXED.point(drawn(drops=4, layer0=0.99, layer1=0.99)).layers == (3, 11)
    assert FIXED.point(drawn(method="divprune")).layers == (0,)


def test_parts_are_never_nothing():
    assert FIXED.point(drawn(part0=1.0)).parts == pytest.approx((1 / 1.05, 0.05 / 1.05))


def test_the_last_drop_takes_the_rest_only_where_that_is_not_too_much():
    assert FIXED.point(drawn(rest=True, layer1=0.5)).empties
    assert not FIXED.point(drawn(rest=True)).empties  # at layers 1, 2: at most a sixth
    assert not FIXED.point(drawn(rest=True, drops=1)).empties


def test_the_choices_are_those_of_the_space():
    assert list(FREE.choices) == [*FIXED.choices, SHARE]
    assert FIXED.choices[METHOD] == tuple(LAYERS)
    assert FIXED.choices[DROPS] == range(1, 5)
    assert FIXED.choices["layer3"] is None


def test_the_same_key_is_the_same_draw():
    assert FIXED.any("0/1/0") == FIXED.any("0/1/0") != FIXED.any("0/1/1")


def test_what_does_not_come_to_a_point_of_the_space_is_left_out():
    parts = (0.2,) * 5
    assert FIXED.drawn(Point("v2drop", 1 / 3, (1, 2, 3, 4, 5), parts)) is None
    assert FIXED.drawn(Point("v2drop", 1 / 3, (0, 5), (0.5, 0.5))) is None
    assert FIXED.drawn(Point("v2drop", 1 / 3, (4, 5), (0.5, 0.5))) is None


def test_a_budget_that_nothing_meets_is_refused():
    with pytest.raises(ScheduleError, match=r"5.0% of the tokens cannot be met by v2drop") as error:
        Space(12, LAYERS, 0.05)
    assert error.value.hint
    with pytest.raises(ScheduleError, match="nothing to tune"):
        Space(12, LAYERS, 1.0)
