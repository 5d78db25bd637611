"""What is known before anything is tried: the schedules that a search begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from v2drop_cli.errors import ScheduleError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import REFERENCE_LAYERS, Schedule
from v2drop_cli.tuning.points import MANY, Point, point_of
from v2drop_cli.tuning.space import Parameters, Space

SHARES = (0.5, 1 / 3, 2 / 9, 1 / 9)
"""Layer averages to begin with where none is given: a half, and the paper's three budgets."""


def default(method: str, share: float, shape: Shape) -> Schedule:
    """The method's own drops for a layer average of ``share``, as ``--budget`` has them.

    Raises:
        ScheduleError: it has none.
    """
    return get_method(method).schedule(share * MANY, replace(shape, n_vision=MANY))


def beginnings(space: Space, shape: Shape) -> list[Parameters]:
    """Each once: every method's own drops, V2Drop's layers, the splits of the family's presets."""
    found: dict[tuple[str, str], Parameters] = {}
    for point in _points(space, shape):
        drawn = space.drawn(point)
        if drawn is not None:
            comes_to = space.point(drawn)
            found.setdefault((comes_to.method, str(comes_to.schedule(space.n_layers))), drawn)
    return list(found.values())


def _points(space: Space, shape: Shape) -> Iterator[Point]:
    shares = SHARES if space.share is None else (space.share,)
    methods = list(space.layers)
    for share in shares:
        for method in methods:
            yield from _own(method, share, shape)
    if space.share is not None:
        yield from _even(methods[0], space.share, shape)
    for name in shape.presets:
        point = point_of(methods[0], shape.preset(name), shape.n_layers)
        if point is not None:
            yield point if space.share is None else replace(point, share=space.share)


def _own(method: str, share: float, shape: Shape) -> Iterator[Point]:
    try:
        point = point_of(method, default(method, share, shape), shape.n_layers)
    except ScheduleError:  # no drops of its own come to that
        return
    if point is not None:
        yield replace(point, share=share)


def _even(method: str, share: float, shape: Shape) -> Iterator[Point]:
    """Equal drops: at V2Drop's layers without taking the rest, and spread over the depth."""
    usual = tuple(shape.scaled(REFERENCE_LAYERS))
    for layers in (usual, _spread(shape)):
        if layers and layers[0] < share * shape.n_layers:
            yield Point(method, share, layers, (1 / len(layers),) * len(layers))


def _spread(shape: Shape) -> tuple[int, ...]:
    first = max(1, shape.first_droppable)
    step = max(1, math.ceil((shape.depth - first) / 4))
    return tuple(range(first, shape.depth, step))
