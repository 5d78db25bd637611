"""The built-in task ``shapes``: questions about drawn scenes and clips, for the model ``tiny``.

They are drawn from seeds that its training never uses, each about a scene or clip of its own. A
clip is shown as ``tiny`` was taught to see one: its frames side by side in two pictures.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from v2drop_cli.errors import UsageError
from v2drop_cli.media import Media
from v2drop_cli.tasks.drawn.clips import mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question, S, Task
from v2drop_cli.tasks.drawn.scenes import sample_scene
from v2drop_cli.tasks.rows import Row

NAME = "shapes"
SIDE = 336
"""Pixels of a picture, as ``tiny`` takes them."""
ROUNDS = 8
"""A round asks every kind of question, those about scenes several times."""
SCENES_PER_CLIP = 5
_VERSION = 1
"""Of the drawings and questions; another one is other data."""


class Shapes:
    """The task; see :class:`~v2drop_cli.tasks.rows.Data`.

    Args:
        name: ``shapes``, or ``shapes:N`` for other questions of the same kinds.

    Raises:
        UsageError: what follows the colon is no number.
    """

    metric, labelled = "exact_match", True
    files: tuple[Path, ...] = ()
    columns: str | None = None
    told: str | None = None

    def __init__(self, name: str = NAME) -> None:
        _, colon, seed = name.partition(":")
        if colon and not (seed.isascii() and seed.isdigit() and len(seed) < 10):
            raise UsageError(
                f"{name!r} is no built-in task", hint="shapes, or shapes:1, shapes:2 …"
            )
        self.name, self._seed = name, int(seed or 0)
        self.digest = hashlib.sha256(f"{NAME} {_VERSION} {self._seed}".encode()).hexdigest()
        self._round = (*_kinds("image") * SCENES_PER_CLIP, *_kinds("video"))
        self.count = ROUNDS * len(self._round)

    def rows(self) -> Iterator[Row]:
        """All rows; every one is drawn when it is asked for."""
        for number in range(self.count):
            media, task = self._round[number % len(self._round)]
            yield self._row(number, media, task)

    def _row(self, number: int, media: str, task: int) -> Row:
        question, draw = _drawn(media, task, random.Random(f"{NAME}/{self._seed}/{number}"))

        def show(frames: int) -> list[Media]:
            return [
                Media(Path(f"{NAME}-{number}-{place}.png"), "image", (drawn,), None, SIDE, SIDE)
                for place, drawn in enumerate(draw())
            ]

        group = f"{media}: {question.type}"
        return Row(number, question.text, (question.answer,), show, group=group)


def first_asked(
    sample: Callable[[random.Random], S], ask: Task[S], rng: random.Random
) -> tuple[S, Question]:
    """Draw subjects until one allows the question."""
    while True:
        subject = sample(rng)
        question = ask(subject, rng)
        if question is not None:
            return subject, question


def _drawn(
    media: str, task: int, rng: random.Random
) -> tuple[Question, Callable[[], list[Image.Image]]]:
    """A question of one task, and what draws its pictures."""
    if media == "image":
        scene, question = first_asked(sample_scene, SCENE_TASKS[task][0], rng)
        return question, lambda: [render(scene, SIDE)]
    clip, question = first_asked(sample_clip, CLIP_TASKS[task][0], rng)
    return question, lambda: mosaics(clip, SIDE)


def _kinds(media: str) -> list[tuple[str, int]]:
    """The tasks of one medium by number, without those that ask for a whole sentence."""
    tasks = range(len(SCENE_TASKS if media == "image" else CLIP_TASKS))
    types = {task: _drawn(media, task, random.Random(0))[0].type for task in tasks}
    return [(media, task) for task in tasks if not types[task].startswith("describe")]
