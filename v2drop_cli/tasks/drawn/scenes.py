"""Random scenes of coloured shapes, as ``tiny`` was trained on.

All geometry is in fractions of the image side, so that one scene can be drawn at 336 px, in
a 168 px mosaic cell, or at a few pixels per patch when only the patch labels are wanted.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

Rgb = tuple[int, int, int]

KINDS = ("circle", "square", "rectangle", "triangle", "star", "diamond")
# Two anchors per colour; a shape gets a random mix of them plus jitter, so that both the CSS
# colours people type into a drawing tool and softer ones are covered.
COLORS: dict[str, tuple[Rgb, Rgb]] = {
    "red": ((255, 0, 0), (200, 30, 40)),
    "green": ((0, 128, 0), (50, 190, 70)),
    "blue": ((0, 0, 255), (50, 100, 220)),
    "yellow": ((255, 255, 0), (240, 215, 50)),
    "orange": ((255, 165, 0), (245, 125, 30)),
    "purple": ((128, 0, 128), (150, 70, 200)),
    "pink": ((255, 192, 203), (250, 120, 180)),
    "teal": ((0, 128, 128), (30, 175, 175)),
    "brown": ((139, 69, 19), (110, 70, 45)),
    "black": ((0, 0, 0), (35, 35, 35)),
    "gray": ((128, 128, 128), (150, 150, 150)),
    "white": ((255, 255, 255), (240, 240, 240)),
}
COLOR_NAMES = tuple(COLORS)
MIN_CONTRAST = 90.0
_MAX_SIZE = {1: 0.9, 2: 0.45, 3: 0.38, 4: 0.34}


@dataclass(frozen=True)
class Shape:
    """One shape: its two words, its exact colour, and where it lies."""

    kind: str
    color: str
    rgb: Rgb
    x: float
    y: float
    size: float
    aspect: float
    angle: float

    @property
    def name(self) -> str:
        """The color and the kind, as in an answer."""
        return f"{self.color} {self.kind}"


@dataclass(frozen=True)
class Background:
    """A vertical or horizontal gradient between two colours, with pixel noise."""

    start: Rgb
    end: Rgb
    vertical: bool
    noise: float
    noise_seed: int


@dataclass(frozen=True)
class Scene:
    """Shapes that do not overlap, before a background they contrast with."""

    shapes: tuple[Shape, ...]
    background: Background


def sample_rgb(color: str, rng: random.Random) -> Rgb:
    """Draw an exact colour for a colour word."""
    first, second = COLORS[color]
    mix = rng.random()
    channels = [a + (b - a) * mix + rng.uniform(-8, 8) for a, b in zip(first, second, strict=True)]
    red, green, blue = (min(255, max(0, round(value))) for value in channels)
    return red, green, blue


def sample_names(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Distinct (color, kind) pairs that share a word often, so that questions need both."""
    names: list[tuple[str, str]] = []
    while len(names) < count:
        color, kind = rng.choice(COLOR_NAMES), rng.choice(KINDS)
        if names and rng.random() < 0.35:
            kind = rng.choice(names)[1]
        elif names and rng.random() < 0.25:
            color = rng.choice(names)[0]
        if (color, kind) not in names:
            names.append((color, kind))
    return names


def make_shape(
    name: tuple[str, str], place: tuple[float, float], size: float, rng: random.Random
) -> Shape:
    """Draw the rest of a shape: its exact colour, proportions and tilt."""
    color, kind = name
    aspect = rng.uniform(0.4, 0.62) if kind == "rectangle" else 1.0
    if kind == "rectangle" and rng.random() < 0.4:
        aspect = 1.0 / aspect
    angle = rng.uniform(-0.25, 0.25) if kind in ("triangle", "star") else rng.uniform(-0.1, 0.1)
    return Shape(kind, color, sample_rgb(color, rng), place[0], place[1], size, aspect, angle)


def sample_background(shapes: tuple[Shape, ...], rng: random.Random) -> Background:
    """A background every shape can be told from; light, dark and coloured ones."""
    while True:
        low, high = rng.choice(((220, 255), (220, 255), (150, 220), (60, 150), (0, 60)))
        level = rng.uniform(low, high)
        tint = rng.choice((0.0, 6.0, 30.0))
        spread = rng.choice((0.0, 0.0, 35.0))
        start = _clip_rgb([level + rng.uniform(-tint, tint) for _ in range(3)])
        end = _clip_rgb([channel + rng.uniform(-spread, spread) for channel in start])
        if all(
            min(math.dist(shape.rgb, start), math.dist(shape.rgb, end)) > MIN_CONTRAST
            for shape in shapes
        ):
            noise = rng.choice((0.0, 0.0, 5.0, 12.0))
            return Background(start, end, rng.random() < 0.5, noise, rng.getrandbits(32))


def sample_scene(
    rng: random.Random,
    counts: tuple[int, ...] = (1, 2, 2, 3, 3, 3, 4, 4),
    smallest: float = 0.125,
    largest: float = 0.5,
) -> Scene:
    """Some shapes, one to four by default, placed at random without overlap."""
    total = rng.choice(counts)
    while True:
        sizes = [rng.uniform(smallest, min(largest, _MAX_SIZE[total])) for _ in range(total)]
        places = place(sizes, rng)
        if places is not None:
            break
    shapes = tuple(
        make_shape(name, spot, size, rng)
        for name, spot, size in zip(sample_names(total, rng), places, sizes, strict=True)
    )
    return Scene(shapes, sample_background(shapes, rng))


def place(sizes: list[float], rng: random.Random) -> list[tuple[float, float]] | None:
    """Centres for shapes of these sizes, or None where they did not fit by chance."""
    spots: list[tuple[float, float]] = []
    for index, size in enumerate(sizes):
        margin = size / 2 + 0.01
        for _ in range(20):
            spot = rng.uniform(margin, 1 - margin), rng.uniform(margin, 1 - margin)
            gaps = (math.dist(spot, other) - (size + sizes[i]) / 2 for i, other in enumerate(spots))
            if all(gap > 0.02 for gap in gaps):
                spots.append(spot)
                break
        if len(spots) == index:
            return None
    return spots


def _clip_rgb(channels: list[float]) -> Rgb:
    red, green, blue = (min(255, max(0, round(channel))) for channel in channels)
    return red, green, blue
