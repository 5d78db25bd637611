"""EVS against vLLM's definition, in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.entering import Entering, best, drawn, rows_of
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.errors import ScheduleError, UnsupportedModelError
from v2drop_cli.methods.evs import EVS
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases import get_case
from v2drop_cli.records import Grid
from v2drop_cli.schedule import Drop, Schedule

NEWLINE = Grid(1, 1, 1, (1.0, 1.0, 1.0, 1.0))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def by_hand(states, grids, k):
    scores, begin = [], 0
    for grid in grids:
        frame = grid.h * grid.w
        for i in range(grid.t * frame):
            place = begin + i
            if i < frame:
                scores.append(255.0)
            elif place < len(states):
                scores.append(1 - cosine(states[place], states[place - frame]))
        begin += grid.t * frame
    firsts = sum(grid.h * grid.w for grid in grids)
    return best(scores, max(firsts, k))


def kept(states, grids, k):
    return EVS().select(Entering(states, seen=grids).context(k)).index.tolist()


@pytest.mark.parametrize("k", [0, 3, 6, 7, 15, 23, 24])
def test_it_is_what_the_definition_says(k):
    grids = (Grid(4, 2, 3),)
    states = drawn(24)
    assert kept(states, grids, k) == by_hand(states.double().tolist(), grids, k)


def test_what_does_not_move_goes_and_the_first_frame_stays():
    still, moved = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    states = torch.stack([still, still, still, moved, still, moved])  # two places, three frames
    assert kept(states, (Grid(3, 1, 2),), 3) == [0, 1, 3]
    assert kept(states, (Grid(3, 1, 2),), 1) == [0, 1]


def test_ties_go_to_the_earlier_token():
    assert kept(torch.ones(8, 2), (Grid(4, 1, 2),), 5) == [0, 1, 2, 3, 4]


def test_videos_compete_and_pictures_and_newlines_beside_them_stay():
    grids = (Grid(3, 2, 2), Grid(1, 2, 2), Grid(2, 1, 2), NEWLINE)
    states = drawn(21)
    found = kept(states, grids, 15)
    assert found == by_hand(states.double().tolist(), grids, 15)
    assert {0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 20} <= set(found)


def test_a_prompt_that_ends_in_its_video_keeps_that_token_by_itself():
    states, grids = drawn(11), (Grid(3, 2, 2),)
    assert kept(states, grids, 6) == by_hand(states.double().tolist(), grids, 6)


def test_counts_are_truncated_as_vllm_truncates_them():
    assert Drop(0, keep=1 - 0.9).kept(2000) == 199
    [drop] = EVS().schedule(None, Shape(28)).drops
    assert (drop.layer, drop.kept(2001)) == (0, 500)
    assert EVS().schedule(77.6, Shape(28)) == Schedule((Drop(0, count=78),))


@pytest.mark.parametrize("name", ["qwen2_vl", "llava_onevision"])
def test_rows_of_several_videos_inside_a_model(name):
    case = get_case(name)
    model = case.make("sdpa")
    shown = [case.prompt(3, "v", 0), case.prompt(2, "vv", 1), case.prompt(5, "iv", 2)]
    inputs, vision = case.batch(shown)
    with v2drop.dropping(model, "0:60%", method="evs") as trace, torch.no_grad():
        model(**inputs)
    [event] = trace.events
    rows = family_for(model.config).vision_tokens(model.config, inputs).grids
    for found, (states, *_), columns, grids in zip(
        event.kept, rows_of(model, inputs), vision, rows, strict=True
    ):
        kept_by_hand = by_hand(states[columns].tolist(), grids, int(len(columns) * 0.6))
        assert list(found) == [columns[i] for i in kept_by_hand]
    with v2drop.dropping(model, "0:60%", method="evs") as trace, torch.no_grad():
        model.generate(**inputs, max_new_tokens=2)
    assert trace.events[0].kept == event.kept


@pytest.mark.parametrize("grids", [None, (Grid(1, 6, 6),), (Grid(1, 3, 6), Grid(1, 3, 6))])
def test_without_a_video_it_is_refused(grids):
    with pytest.raises(UnsupportedModelError, match="frames of a video") as caught:
        kept(drawn(36), grids, 9)
    assert caught.value.hint


def test_it_drops_once_while_frames_are_whole():
    EVS().check(Schedule.parse("3:25%"))
    with pytest.raises(ScheduleError, match="whole frames") as caught:
        EVS().check(Schedule.parse("0:50%,8:20%"))
    assert caught.value.hint


def test_a_picture_is_refused_inside_a_model():
    model = make_llava(3)
    with (
        pytest.raises(UnsupportedModelError, match="evs"),
        v2drop.dropping(model, method="evs"),
        torch.no_grad(),
    ):
        model(**one_prompt())


def test_pictures_are_refused_before_a_model_is_loaded():
    for text in ("evs", "evs+v2drop"):
        method = get_method(text)
        with pytest.raises(UnsupportedModelError, match="has none") as caught:
            method.check_media(frozenset({"image"}))
        assert "--video" in caught.value.hint
        method.check_media(frozenset({"video"}))
        method.check_media(frozenset({"image", "video"}))
