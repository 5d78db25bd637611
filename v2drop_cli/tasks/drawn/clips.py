"""Random clips: one shape moves past others, or two shapes appear one after the other."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from PIL import Image

from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.scenes import (
    Background,
    Scene,
    Shape,
    make_shape,
    sample_background,
    sample_names,
)

FRAMES = 8
FRAMES_PER_IMAGE = 4
DIRECTIONS = ("left", "right", "up", "down")
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Clip:
    """Eight scenes before one background, and what happens in them.

    ``direction`` and ``mover`` are set where a shape moves; ``order`` lists the shapes as they
    appear where they appear one after the other.
    """

    frames: tuple[Scene, ...]
    shapes: tuple[Shape, ...]
    direction: str | None = None
    mover: Shape | None = None
    order: tuple[Shape, ...] = ()


def sample_clip(rng: random.Random) -> Clip:
    """Draw a clip; motion needs more practice than order, so it comes more often."""
    return _moving_clip(rng) if rng.random() < 0.65 else _appearing_clip(rng)


def _path(direction: str, size: float, rng: random.Random) -> list[tuple[float, float]]:
    """Eight evenly spaced centres along an almost straight way in the given direction."""
    margin = size / 2 + 0.02
    travel = rng.uniform(0.36, 0.98 - 2 * margin)
    start = rng.uniform(margin, 1 - margin - travel)
    drift = rng.uniform(-0.06, 0.06)
    side = rng.uniform(margin + 0.06, 1 - margin - 0.06)
    across, down = _STEPS[direction]
    along = [start + travel * step / (FRAMES - 1) for step in range(FRAMES)]
    if across + down < 0:
        along.reverse()
    aside = [side + drift * (step / (FRAMES - 1) - 0.5) for step in range(FRAMES)]
    pairs = zip(along, aside, strict=True)
    return [(a, b) if across else (b, a) for a, b in pairs]


def _free_spot(
    size: float, taken: list[tuple[float, float, float]], rng: random.Random
) -> tuple[float, float] | None:
    """A centre that keeps clear of all (x, y, size) in ``taken``."""
    margin = size / 2 + 0.02
    for _ in range(30):
        x, y = rng.uniform(margin, 1 - margin), rng.uniform(margin, 1 - margin)
        if all(
            ((x - u) ** 2 + (y - v) ** 2) ** 0.5 > (size + other) / 2 + 0.02
            for u, v, other in taken
        ):
            return x, y
    return None


def _moving_clip(rng: random.Random) -> Clip:
    direction = rng.choice(DIRECTIONS)
    names = _distinct_names(rng.choice((1, 2, 2, 2, 3)), rng)
    size = rng.uniform(0.2, 0.36)
    path = _path(direction, size, rng)
    mover = make_shape(names[0], path[0], size, rng)
    taken = [(x, y, size) for x, y in path]
    still: list[Shape] = []
    for name in names[1:]:
        own_size = rng.uniform(0.2, 0.36)
        spot = _free_spot(own_size, taken, rng)
        if spot is not None:
            still.append(make_shape(name, spot, own_size, rng))
            taken.append((*spot, own_size))
    background = sample_background((mover, *still), rng)
    frames = tuple(
        _frame((replace(mover, x=x, y=y), *still), background, i) for i, (x, y) in enumerate(path)
    )
    return Clip(frames, (mover, *still), direction=direction, mover=mover)


def _appearing_clip(rng: random.Random) -> Clip:
    while True:
        sizes = [rng.uniform(0.2, 0.4) for _ in range(2)]
        first = _free_spot(sizes[0], [], rng)
        second = first and _free_spot(sizes[1], [(*first, sizes[0])], rng)
        if first and second:
            break
    shapes = tuple(
        make_shape(name, spot, size, rng)
        for name, spot, size in zip(_distinct_names(2, rng), (first, second), sizes, strict=True)
    )
    background = sample_background(shapes, rng)
    begin = rng.randrange(0, FRAMES - 3)
    begins = (begin, rng.randrange(begin + 1, FRAMES - 1))
    frames = tuple(
        _frame(
            tuple(shape for shape, since in zip(shapes, begins, strict=True) if index >= since),
            background,
            index,
        )
        for index in range(FRAMES)
    )
    return Clip(frames, shapes, order=shapes)


def _distinct_names(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Names that share no word, so that one word is enough to refer to a shape."""
    while True:
        names = sample_names(count, rng)
        colors, kinds = zip(*names, strict=True)
        if len(set(colors)) == count == len(set(kinds)):
            return names


def _frame(shapes: tuple[Shape, ...], background: Background, index: int) -> Scene:
    return Scene(shapes, replace(background, noise_seed=background.noise_seed + index))


def mosaics(clip: Clip, side: int) -> list[Image.Image]:
    """The clip as pictures of 2x2 frames each, in reading order."""
    half = side // 2
    pictures = []
    for start in range(0, FRAMES, FRAMES_PER_IMAGE):
        picture = Image.new("RGB", (side, side))
        for cell, frame in enumerate(clip.frames[start : start + FRAMES_PER_IMAGE]):
            picture.paste(render(frame, half), (cell % 2 * half, cell // 2 * half))
        pictures.append(picture)
    return pictures
