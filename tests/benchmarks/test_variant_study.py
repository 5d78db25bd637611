"""The study of variants: what it draws, and how it sums up."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.tiny.grounds import textured
from benchmarks.tiny.variant_study import STUDIES, Again, asked_of, groups
from v2drop_cli.tasks.drawn.painting import render, shape_mask
from v2drop_cli.tasks.drawn.questions import SCENE_TASKS
from v2drop_cli.tasks.drawn.scenes import sample_scene


def test_a_setting_meets_its_share_for_pictures_and_clips():
    wanted = {"default": 1 / 3, "2/9": 2 / 9, "1/9": 1 / 9, "a ninth before layer 0": 1 / 9}
    for setting in STUDIES["main"]:
        for vision in (576, 1152):
            average = setting.schedule(vision).resolve(vision, n_layers=12).layer_average
            share = wanted.get(setting.name)
            assert share is None or average / vision == pytest.approx(share, rel=0.1), setting.name


def test_no_question_is_asked_twice():
    for index in range(20):
        scene = sample_scene(random.Random(index))
        asked = asked_of(scene, SCENE_TASKS, random.Random(index))
        assert asked
        assert len({(question.type, question.answer) for question in asked}) == len(asked)


def test_all_questions_are_easy_or_hard_and_descriptions_are_told_apart():
    types = {"count", "exists", "describe", "shape of color"}
    found = groups(types)
    assert found["easy"] | found["hard"] == types
    assert not found["easy"] & found["hard"]
    assert found["all"] == types - {"describe"}


def test_intervals_come_from_drawing_subjects_again():
    """Ten questions about one scene, all right or all wrong, are as uncertain as one question."""
    single = np.array([[1, index % 2] for index in range(100)], dtype=float)
    tenfold = 10 * single
    again = Again(100)
    assert again.share(single) == again.share(tenfold)
    middle, low, high = again.share(single)
    assert middle == 0.5
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.02)  # 1.96 * sqrt(0.25 / 100)


def test_a_difference_is_paired():
    """Two arms that are right about the same scenes do not differ, however uncertain each is."""
    one = np.array([[4, 4 * (index % 2)] for index in range(50)], dtype=float)
    again = Again(50)
    assert again.share(one, one) == [0.0, 0.0, 0.0]
    better = one.copy()
    better[:, 1] = 4
    middle, low, high = again.share(better, one)
    assert middle == 0.5
    assert low > 0.3
    assert high < 0.7


def test_a_texture_changes_the_ground_and_no_shape():
    scene = sample_scene(random.Random(3))
    plain = np.asarray(render(scene, 336), np.int16)
    waves = np.asarray(textured(scene, 336, random.Random(0)), np.int16)
    covers = [np.asarray(shape_mask(shape, 336)) for shape in scene.shapes]
    whole = np.max(covers, axis=0) == 255
    assert np.array_equal(plain[whole], waves[whole])
    changed = np.abs(waves - plain)[np.max(covers, axis=0) == 0]
    assert changed.mean() > 2
    assert changed.max() <= 20
