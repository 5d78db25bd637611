"""The drawings that `tiny` was trained on, and the task `shapes` that asks about others."""

from __future__ import annotations

import hashlib
from itertools import islice

import pytest

from benchmarks.tiny.score import held_out
from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.built_in import Shapes
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS

# Of the code that drew the pictures of tiny's training, three questions of every task.
TRAINED_ON = "6c58b1df2283d1e7871d444c53036900aa7bd5d529e973adc541ea41788b7f79"


def test_pictures_and_questions_are_those_of_the_training_byte_for_byte():
    digest = hashlib.sha256()
    for media, tasks in (("image", SCENE_TASKS), ("video", CLIP_TASKS)):
        for task in range(len(tasks)):
            for index in range(3):
                case = held_out(media, task, index)
                for picture in case.pictures:
                    digest.update(picture.tobytes())
                question = case.question
                told = repr((question.type, question.text, question.answer))
                digest.update(told.encode())
    assert digest.hexdigest() == TRAINED_ON


def test_shapes_asks_every_kind_of_question_again_and_again():
    data = Shapes()
    rows = list(data.rows())
    assert [row.number for row in rows] == list(range(data.count))
    groups = {row.group for row in rows}
    assert {"image: count", "image: beside", "video: direction"} <= groups
    assert not any("describe" in group for group in groups)
    first = next(data.rows())
    [shown] = first.show(8)
    assert (shown.kind, shown.frames[0].size) == ("image", (336, 336))
    again = next(Shapes("shapes").rows())
    assert (again.asked, again.answers) == (first.asked, first.answers)
    assert again.show(8)[0].frames[0].tobytes() == shown.frames[0].tobytes()
    assert len(rows[30].show(8)) == 2  # a clip, in two pictures


def test_other_seeds_are_other_data():
    def asked(name):
        return [(row.asked, row.answers) for row in islice(Shapes(name).rows(), 20)]

    assert Shapes("shapes:0").digest == Shapes().digest != Shapes("shapes:1").digest
    assert asked("shapes:1") != asked("shapes")
    for name in ("shapes:", "shapes:x", "shapes:-1", "shapes:1.5"):
        with pytest.raises(UsageError):
            Shapes(name)
