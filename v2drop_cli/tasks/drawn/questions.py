"""Questions about scenes and clips, and their answers.

Every question is unambiguous by construction, yes and no are drawn before the question is
built (so each phrasing has both equally often), and a false claim prefers words that are in
the picture, only not together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TypeVar

from v2drop_cli.tasks.drawn.clips import Clip
from v2drop_cli.tasks.drawn.scenes import COLOR_NAMES, KINDS, Scene, Shape

MARGIN = 0.1
_ORDER_MARGIN = 0.05

SHAPE_OF_COLOR = (
    "what is the {color} shape?",
    "what shape is {color}?",
    "which shape is {color}?",
    "what is the shape of the {color} object?",
)
COLOR_OF_SHAPE = (
    "what color is the {kind}?",
    "what is the color of the {kind}?",
    "which color is the {kind}?",
    "what color does the {kind} have?",
)
COLOR_OF_ONLY = ("what is the color of the shape?", "what color is the shape?")
KIND_OF_ONLY = ("what is the shape?", "what shape is this?", "what shape is in the image?")
# Pairs of (phrasing, whether "yes" means that the thing is there).
EXISTS = (
    ("does the {media} contain a {thing}?", True),
    ("is there a {thing} in the {media}?", True),
    ("is a {thing} present?", True),
    ("is there a {thing}?", True),
    ("does the {media} not contain a {thing}?", False),
    ("is there not a {thing} in the {media}?", False),
    ("is no {thing} present?", False),
    ("is there no {thing} in the {media}?", False),
)
COUNT = (
    "how many {things} are there?",
    "how many {things} are in the image?",
    "how many {things} does the image contain?",
)
BESIDE = (
    "what is {side} of the {thing}?",
    "what is to the {side} of the {thing}?",
    "which shape is {side} of the {thing}?",
)
DESCRIBE = ("describe the {media}.", "describe this {media}.", "what is in the {media}?")
DIRECTION = (
    "which direction does the {thing} move?",
    "which way does the {thing} move?",
    "in which direction does the {thing} move?",
    "where does the {thing} move?",
)
MOVER_COLOR = ("what color is the moving shape?", "what is the color of the moving shape?")
MOVER_KIND = ("what shape is moving?", "which shape moves?", "what is moving?")
FIRST = ("what appears first?", "which shape appears first?", "what is seen first?")
LAST = ("what appears last?", "which shape appears last?", "what is seen last?")


@dataclass(frozen=True)
class Question:
    """A question, its one right answer, and the type it is scored under."""

    type: str
    text: str
    answer: str


S = TypeVar("S", Scene, Clip)
Task = Callable[[S, random.Random], Question | None]


def article(phrase: str) -> str:
    """Put the right article before a vowel."""
    return phrase.replace(" a orange", " an orange")


def unique_by(shapes: tuple[Shape, ...], word: str) -> list[Shape]:
    """Shapes whose ``color`` or ``kind`` no other shape has."""
    values = [getattr(shape, word) for shape in shapes]
    return [shape for shape in shapes if values.count(getattr(shape, word)) == 1]


def ask_shape(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """Ask for the shape that has a color of its own."""
    known = unique_by(shapes, "color")
    if not known:
        return None
    shape = rng.choice(known)
    text = rng.choice(SHAPE_OF_COLOR).format(color=shape.color)
    return Question("shape of color", text, shape.kind)


def ask_color(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """Ask for the color of a shape that is the only one of its kind."""
    known = unique_by(shapes, "kind")
    if not known:
        return None
    shape = rng.choice(known)
    text = rng.choice(COLOR_OF_SHAPE).format(kind=shape.kind)
    return Question("color of shape", text, shape.color)


def ask_only(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """Ask about a shape that is alone, so that no name is needed."""
    if len(shapes) != 1:
        return None
    if rng.random() < 0.5:
        return Question("only shape", rng.choice(COLOR_OF_ONLY), shapes[0].color)
    return Question("only shape", rng.choice(KIND_OF_ONLY), shapes[0].kind)


def _thing(shapes: tuple[Shape, ...], present: bool, rng: random.Random) -> str | None:
    """A color, a kind or both that is (or is not) among the shapes; None where none is."""
    colors, kinds = {shape.color for shape in shapes}, {shape.kind for shape in shapes}
    form = rng.choice(("color", "kind", "both"))
    if form == "color":
        pool = [color for color in COLOR_NAMES if (color in colors) == present]
        return f"{rng.choice(pool)} shape"
    if form == "kind":
        return rng.choice([kind for kind in KINDS if (kind in kinds) == present])
    names = {shape.name for shape in shapes}
    if present:
        return rng.choice(sorted(names))
    hard = [
        f"{color} {kind}"
        for color in COLOR_NAMES
        for kind in KINDS
        if f"{color} {kind}" not in names and (color in colors) + (kind in kinds) >= 1
    ]
    both = [name for name in hard if name.split()[0] in colors and name.split()[1] in kinds]
    return rng.choice(both if both and rng.random() < 0.6 else hard)


def ask_exists(shapes: tuple[Shape, ...], media: str, rng: random.Random) -> Question | None:
    """Ask whether something is there, or whether it is not."""
    phrasing, positive = rng.choice(EXISTS)
    answer = rng.choice(("yes", "no"))
    thing = _thing(shapes, (answer == "yes") == positive, rng)
    text = article(phrasing.format(media=media, thing=thing))
    return Question("exists" if positive else "not exists", text, answer)


def ask_count(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """Counts of a kind, a color or all; rare counts are asked as often as common ones."""
    counts = [(f"{kind}s", sum(shape.kind == kind for shape in shapes)) for kind in KINDS]
    counts += [
        (f"{color} shapes", sum(shape.color == color for shape in shapes)) for color in COLOR_NAMES
    ]
    counts.append(("shapes", len(shapes)))
    number = rng.choice(sorted({count for _, count in counts}))
    things = rng.choice([thing for thing, count in counts if count == number])
    return Question("count", rng.choice(COUNT).format(things=things), str(number))


def _refer(shape: Shape, shapes: tuple[Shape, ...], rng: random.Random) -> str:
    """The shape's shortest unambiguous name, or at random its full one."""
    names = [shape.name]
    if shape in unique_by(shapes, "kind"):
        names += [shape.kind, shape.kind]
    if shape in unique_by(shapes, "color"):
        names.append(f"{shape.color} shape")
    return rng.choice(names)


def ask_beside(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """What is left (right) of a shape: the only shape there, or nothing."""
    side = rng.choice(("left", "right"))
    sign = -1 if side == "left" else 1
    nothing = rng.random() < 0.3
    shape = rng.choice(shapes)
    gaps = [(sign * (other.x - shape.x), other) for other in shapes if other is not shape]
    beside = [other for gap, other in gaps if gap > 0]
    if any(abs(gap) < MARGIN for gap, _ in gaps) or len(beside) != (0 if nothing else 1):
        return None
    text = rng.choice(BESIDE).format(side=side, thing=_refer(shape, shapes, rng))
    return Question("beside", text, beside[0].name if beside else "nothing")


def _listing(shapes: list[Shape]) -> str:
    return ", ".join(article(f" a {shape.name}").strip() for shape in shapes)


def ask_describe(shapes: tuple[Shape, ...], rng: random.Random) -> Question | None:
    """Ask for all shapes from left to right, where that order is clear."""
    row = sorted(shapes, key=lambda shape: shape.x)
    if any(b.x - a.x < _ORDER_MARGIN for a, b in pairwise(row)):
        return None
    return Question("describe", rng.choice(DESCRIBE).format(media="image"), _listing(row))


def ask_direction(clip: Clip, rng: random.Random) -> Question | None:
    """Ask which way the moving shape goes."""
    if clip.mover is None or clip.direction is None:
        return None
    thing = rng.choice((clip.mover.kind, clip.mover.name, f"{clip.mover.color} shape", "shape"))
    if thing == "shape" and len(clip.shapes) > 1:
        thing = "moving shape"
    return Question("direction", rng.choice(DIRECTION).format(thing=thing), clip.direction)


def ask_mover(clip: Clip, rng: random.Random) -> Question | None:
    """Ask which shape moves, by its color or kind."""
    if clip.mover is None:
        return None
    if rng.random() < 0.5:
        return Question("moving color", rng.choice(MOVER_COLOR), clip.mover.color)
    return Question("moving shape", rng.choice(MOVER_KIND), clip.mover.kind)


def ask_order(clip: Clip, rng: random.Random) -> Question | None:
    """Ask which of two shapes appears first or last."""
    if not clip.order:
        return None
    if rng.random() < 0.6:
        return Question("appears first", rng.choice(FIRST), clip.order[0].name)
    return Question("appears last", rng.choice(LAST), clip.order[-1].name)


def ask_describe_clip(clip: Clip, rng: random.Random) -> Question | None:
    """Only clips with an order of their own: as the shapes appear, or the mover first."""
    if len(clip.shapes) > 2:
        return None
    listing = _listing(list(clip.shapes))
    if clip.mover is not None:
        name = article(f" a {clip.mover.name}").strip()
        listing = listing.replace(name, f"{name} moving {clip.direction}", 1)
    return Question("describe video", rng.choice(DESCRIBE).format(media="video"), listing)


SCENE_TASKS: tuple[tuple[Task[Scene], int], ...] = (
    (lambda scene, rng: ask_shape(scene.shapes, rng), 3),
    (lambda scene, rng: ask_color(scene.shapes, rng), 3),
    (lambda scene, rng: ask_only(scene.shapes, rng), 3),
    (lambda scene, rng: ask_exists(scene.shapes, "image", rng), 5),
    (lambda scene, rng: ask_count(scene.shapes, rng), 3),
    (lambda scene, rng: ask_beside(scene.shapes, rng), 5),
    (lambda scene, rng: ask_describe(scene.shapes, rng), 2),
)
CLIP_TASKS: tuple[tuple[Task[Clip], int], ...] = (
    (ask_direction, 4),
    (ask_mover, 4),
    (ask_order, 6),
    (ask_describe_clip, 1),
    (lambda clip, rng: ask_color(clip.shapes, rng), 1),
    (lambda clip, rng: ask_shape(clip.shapes, rng), 1),
    (lambda clip, rng: ask_exists(clip.shapes, "video", rng), 2),
)


def questions_for(
    subject: S,
    tasks: Sequence[tuple[Task[S], int]],
    count: int,
    rng: random.Random,
    kept: Mapping[str, float] = MappingProxyType({}),
) -> list[Question]:
    """Draw ``count`` questions with different texts.

    Tasks are drawn by weight; a question whose type is in ``kept`` is kept with that chance.
    """
    asks, weights = zip(*tasks, strict=True)
    found: dict[str, Question] = {}
    while len(found) < count:
        question = rng.choices(asks, weights)[0](subject, rng)
        if question is not None and rng.random() < kept.get(question.type, 1.0):
            found[question.text] = question
    return list(found.values())
