"""What a search begins with."""

from __future__ import annotations

from v2drop_cli.methods.shape import Shape
from v2drop_cli.tuning.beginnings import SHARES, beginnings, default
from v2drop_cli.tuning.points import point_of
from v2drop_cli.tuning.space import Space

SHAPE = Shape(32)
ALL = tuple(range(32))


def schedules(space):
    return [str(space.point(drawn).schedule(32)) for drawn in beginnings(space, SHAPE)]


def test_the_default_of_each_method_comes_first_then_splits_of_the_presets():
    space = Space(32, {"v2drop": ALL[1:], "fastv": ALL[1:], "divprune": (0,)}, 1 / 3)
    found = beginnings(space, SHAPE)
    assert [one["method"] for one in found[:3]] == ["v2drop", "fastv", "divprune"]
    assert {one["method"] for one in found[3:]} == {"v2drop"}
    said = schedules(space)
    assert said[:3] == ["3:0.4691,17:0.4691,22:0", "2:0.2889", "0:0.3334"]
    assert len(set(said)) == len(said)
    assert any(one.startswith("3:") and one.endswith(",22:0") for one in said[3:])
    assert any(one.startswith("1:") for one in said[3:])  # spread over the depth
    own = point_of("v2drop", default("v2drop", 1 / 3, SHAPE), 32)
    assert str(own.schedule(32)) == said[0]


def test_where_a_loss_is_tolerated_there_are_several_averages():
    space = Space(32, {"v2drop": ALL[1:]}, None)
    shares = [space.point(drawn).share for drawn in beginnings(space, SHAPE)]
    assert [round(share, 3) for share in shares[:4]] == [round(share, 3) for share in SHARES]
    assert len(shares) > 6  # and the presets as they are


def test_what_has_no_drops_at_such_an_average_is_left_out():
    """A third of three layers is one layer: the drops of the presets come too late."""
    space = Space(3, {"v2drop": (1, 2)}, 0.4)
    for drawn in beginnings(space, Shape(3)):
        assert space.point(drawn).layers[0] == 1
