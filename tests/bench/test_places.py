"""Where the vision tokens of a report are: a picture of kept tokens is drawn from these."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES
from tests.report import factory
from v2drop_cli.bench.places import Shower
from v2drop_cli.bench.places import spans as placed
from v2drop_cli.errors import UsageError
from v2drop_cli.models.inputs import VisionTokens
from v2drop_cli.models.registry import get_family
from v2drop_cli.models.spans import NEWLINE
from v2drop_cli.records import Grid, MediaRecord, Span
from v2drop_cli.records.reading import read_report, validate

LEFT, RIGHT = Grid(1, 1, 2, (0, 0, 0.5, 1)), Grid(1, 2, 2, (0.5, 0, 1, 1))


WHOLE = Grid(1, 1, 1)


def spans(vision, n_media):
    """Of pictures that nothing is known about."""
    return placed(vision, [MediaRecord(None, "image", 8, 8, 1)] * n_media, Shower(None, None, None))


def tokens(positions, *grids):
    return VisionTokens((torch.tensor(positions, dtype=torch.long),), (grids,))


def test_positions_of_each_grid_in_runs_by_hand():
    found = spans(tokens([3, 4, 6, 7, 9, 10], LEFT, RIGHT), 1)
    assert found == (Span(0, LEFT, ((3, 2),)), Span(0, RIGHT, ((6, 2), (9, 2))))


@pytest.mark.parametrize(("n_media", "wanted"), [(1, [0, 0]), (2, [0, 1]), (3, [None, None])])
def test_the_media_are_named_where_they_cannot_be_mistaken(n_media, wanted):
    found = spans(tokens([3, 4, 6, 7, 9, 10], LEFT, RIGHT), n_media)
    assert [span.media for span in found] == wanted


def test_two_files_in_three_spans_cannot_be_told_apart():
    found = spans(tokens([1, 2, 4, 5, 7, 8], LEFT, LEFT, LEFT), 2)
    assert [span.media for span in found] == [None] * 3


@pytest.mark.parametrize(
    ("grids", "wanted"),
    [
        ((WHOLE, LEFT, RIGHT, WHOLE, LEFT, RIGHT), [0, 0, 0, 1, 1, 1]),
        ((LEFT, RIGHT, WHOLE, LEFT, RIGHT, WHOLE), [0, 0, 0, 1, 1, 1]),
        ((WHOLE, WHOLE, LEFT, RIGHT), [0, 1, 1, 1]),  # the first was too small for tiles
        ((LEFT, RIGHT, WHOLE, WHOLE), [0, 0, 0, 1]),
        ((WHOLE, LEFT, RIGHT, WHOLE), [None] * 4),  # either of them may have the tiles
        ((WHOLE, WHOLE, WHOLE, LEFT), [None] * 4),  # one too many
    ],
)
def test_tiles_belong_to_the_whole_view_that_they_stand_beside(grids, wanted):
    count = sum(grid.h * grid.w for grid in grids)
    assert [span.media for span in spans(tokens(range(count), *grids), 2)] == wanted


TILE, SEEN = SimpleNamespace(video_processor=SimpleNamespace()), SimpleNamespace()


@pytest.mark.parametrize(
    ("count", "grids", "wanted"),
    [
        (6, (Grid(3, 1, 1),), [(0, 2)]),  # two frames a step
        (5, (WHOLE, WHOLE, WHOLE), [(0, 2), (2, 2), (4, 2)]),  # the last step has one
        (5, (Grid(4, 1, 1),), [None]),  # no number of frames a step comes to that
        (2, (WHOLE, NEWLINE, WHOLE, NEWLINE), [(0, 1), None, (1, 1), None]),
        (2, (WHOLE, LEFT, RIGHT, WHOLE, LEFT, RIGHT), [(0, 1)] * 3 + [(1, 1)] * 3),
        (3, (WHOLE, LEFT, RIGHT), [None] * 3),  # which frames had the halves?
    ],
)
def test_which_frames_a_grid_shows(count, grids, wanted):
    clip = MediaRecord("clip.mp4", "video", 8, 8, count)
    shower = Shower(get_family("qwen2_vl"), TILE, SEEN)
    cells = sum(grid.t * grid.h * grid.w for grid in grids)
    found = placed(tokens(range(cells), *grids), [clip], shower)
    assert [span.frames for span in found] == wanted


def test_text_between_frames_tells_them_apart_where_what_did_not_move_is_left_out():
    """A whole frame at 3, both halves of the next at 6 to 9, the right one of the last at 12."""
    grids = (Grid(1, 1, 2), Grid(1, 1, 1, LEFT.box), RIGHT, RIGHT)
    at = [3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15]
    for count, wanted in ((3, [(0, 1), (1, 1), (1, 1), (2, 1)]), (4, [None] * 4)):
        clip = MediaRecord("clip.mp4", "video", 8, 8, count)
        found = placed(tokens(at, *grids), [clip], Shower(get_family("video_llama_3"), TILE, SEEN))
        assert [span.frames for span in found] == wanted


def test_frames_that_share_a_picture_have_a_span_each():
    """Two frames above two others, of a row of two tokens each, and the last one fills up."""
    clip = MediaRecord("clip.mp4", "video", 100, 50, 3)
    shower = Shower(get_family("llava"), TILE, SimpleNamespace(frame_grid=(2, 2)))
    found = placed(tokens(range(7, 15), Grid(1, 2, 4)), [clip], shower)
    assert [span.frames for span in found] == [(0, 1), (1, 1), (2, 1), (2, 1)]
    assert [span.runs for span in found] == [((7, 2),), ((9, 2),), ((11, 2),), ((13, 2),)]
    assert {span.grid for span in found} == {Grid(1, 1, 2)}


def test_a_processor_with_other_settings_leaves_the_place_unknown():
    bare = Shower(get_family("llama4"), SimpleNamespace(image_processor=SimpleNamespace()), SEEN)
    found = placed(tokens([0, 1], LEFT), [MediaRecord("a.png", "image", 8, 8, 1)], bare)
    assert [span.shown for span in found] == [None]


def test_a_report_shows_the_first_row():
    rows = (torch.tensor([3, 4]), torch.tensor([5, 6]))
    vision = VisionTokens(rows, ((LEFT,), (Grid(1, 1, 2, (0, 0, 1, 1)),)))
    assert spans(vision, 1) == (Span(0, LEFT, ((3, 2),)),)


def test_grids_that_do_not_add_up_are_not_known_and_no_picture_is_no_span():
    assert spans(tokens([3, 4, 5], LEFT), 1) is None
    assert spans(tokens([]), 0) == ()


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_family_places_every_token_once(name):
    from v2drop_cli.models.registry import family_for

    case = CASES[name]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("ragged")[:1])
    found = spans(family_for(model.config).vision_tokens(model.config, inputs), 1)
    runs = [run for span in found for run in span.runs]
    assert [first + i for first, count in runs for i in range(count)] == vision[0]


def test_a_report_holds_them_is_read_back_and_checked(tmp_path):
    report = factory.report()
    span = Span(0, RIGHT, ((6, 2), (9, 2)))
    report = replace(report, request=replace(report.request, spans=(span,)))
    path = tmp_path / "report.json"
    path.write_text(report.dumps(), encoding="utf-8")
    assert read_report(path).request.spans == (span,)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["request"]["spans"][0]["grid"]["box"] == [0.5, 0, 1, 1]
    del document["request"]["spans"][0]["runs"][0]
    with pytest.raises(UsageError, match="spans"):
        validate(document)
    del document["request"]["spans"]
    validate(document)
