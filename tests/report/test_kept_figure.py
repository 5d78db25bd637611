"""The figure of kept tokens: each cell where its span says, lit by what a drop kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.errors import UsageError
from v2drop_cli.records import Drop, Grid, MediaRecord, Span
from v2drop_cli.report.kept_figure import Merge, kept_figure

PICTURE = MediaRecord("/data/street.png", "image", 400, 200, 1)
CLIP = MediaRecord("clips/kitchen.mp4", "video", 100, 100, 4, (0.0, 1.0, 2.0, 3.0))
ALL = (0.0, 0.0, 1.0, 1.0)


def made(*spans, media=(PICTURE,), drops=(), **changes):
    """A report with these spans, and one arm with these drops."""
    whole = factory.report()
    request = replace(whole.request, spans=spans, media=media, **changes)
    return replace(whole, request=request, arms=(whole.arms[0], factory.dropped(drops=drops)))


def drop(layer, before, *kept, sources=None):
    return Drop(layer, before, len(kept), (kept,), sources=sources and (sources,))


def test_cells_lie_where_the_span_says():
    span = Span(0, Grid(1, 2, 2), ((4, 2), (9, 2)), (-0.5, 0.0, 1.5, 1.0))
    figure = kept_figure(made(span, drops=(drop(1, 4, 5, 9),)))
    [sheet] = figure.sheets
    assert sheet.positions == (4, 5, 9, 10)
    # The processed picture is twice as wide as the medium: what was padded is cut off.
    assert sheet.boxes == ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))
    assert (sheet.aspect, sheet.placed, sheet.unseen) == (2.0, True, ())
    [row] = figure.rows
    assert [panel.kept for panel in row.panels] == [((True,) * 4,), ((False, True, True, False),)]
    assert [panel.title for panel in row.panels] == ["all 4 tokens", "layer 1: 2 of 4"]


def test_what_was_cut_off_belongs_to_no_cell():
    span = Span(0, Grid(1, 1, 1), ((0, 1),), (0.25, 0.0, 0.75, 1.0))
    figure = kept_figure(made(span, drops=(drop(1, 1, 0),)))
    assert figure.sheets[0].boxes == ((0.25, 0.0, 0.75, 1.0),)
    assert figure.sheets[0].unseen == ((0.0, 0.0, 0.25, 1.0), (0.75, 0.0, 1.0, 1.0))
    assert "pale" in figure.legend


def test_tiles_share_a_sheet_and_the_thumbnail_has_its_own():
    tiles = [
        Span(0, Grid(1, 1, 1, (0, 0, 0.5, 1)), ((0, 1),), ALL),
        Span(0, Grid(1, 1, 1, (0.5, 0, 1, 1)), ((1, 1),), ALL),
        Span(0, Grid(1, 1, 2), ((2, 2),), ALL),
    ]
    figure = kept_figure(made(*tiles, drops=(drop(1, 4, 1, 2),)))
    assert [sheet.positions for sheet in figure.sheets] == [(0, 1), (2, 3)]
    assert figure.rows[0].panels[1].kept == ((False, True), (True, False))


def test_a_place_that_is_not_known_is_said():
    """What a report of an earlier version is drawn as: it says no more than the grid."""
    span = Span(0, Grid(1, 2, 4), ((0, 8),))
    figure = kept_figure(made(span, drops=(drop(1, 8, 3),)))
    [sheet] = figure.sheets
    assert (sheet.placed, sheet.aspect) == (False, 2.0)
    assert any("not known" in note for note in figure.notes)


def test_newlines_beside_the_picture_are_on_no_sheet():
    """Also where the processed picture ends within the medium."""
    span = Span(0, Grid(1, 1, 3, (0.0, 0.0, 1.5, 1.0)), ((0, 3),), (0.0, 0.0, 0.8, 1.0))
    figure = kept_figure(made(span, drops=(drop(1, 3, 1, 2),)))
    assert figure.sheets[0].boxes == ((0.0, 0.0, 0.4, 1.0), (0.4, 0.0, 0.8, 1.0))
    assert figure.rows[0].panels[1].without_place == (1, 1)


def test_frames_of_a_clip_have_a_sheet_each():
    span = Span(0, Grid(2, 1, 1), ((0, 2),), ALL, (0, 2))
    figure = kept_figure(made(span, media=(CLIP,), drops=(drop(1, 2, 1),)))
    assert [sheet.frame for sheet in figure.sheets] == [0, 2]
    assert [sheet.title for sheet in figure.sheets] == ["0.00 s", "2.00 s"]
    assert figure.rows[0].panels[1].kept == ((False,), (True,))


def test_frames_that_are_not_known_are_not_put_together():
    """The left half, text, and the right half, which may be of another frame."""
    left, right = (Grid(1, 1, 1, box) for box in ((0, 0, 0.5, 1), (0.5, 0, 1, 1)))
    for begin, sheets in ((1, [(0, 1)]), (2, [(0,), (2,)])):
        spans = Span(0, left, ((0, 1),), ALL), Span(0, right, ((begin, 1),), ALL)
        figure = kept_figure(made(*spans, media=(CLIP,), drops=(drop(1, 2, 0),)))
        assert [sheet.positions for sheet in figure.sheets] == sheets


def test_tokens_without_a_place_are_counted():
    spans = (
        Span(0, Grid(1, 1, 1), ((0, 1),), ALL),
        Span(0, Grid(1, 1, 2, (1.0, 1.0, 1.0, 1.0)), ((1, 2),), ALL),
    )
    figure = kept_figure(made(*spans, drops=(drop(1, 3, 0, 2),)))
    assert [sheet.positions for sheet in figure.sheets] == [(0,)]
    assert [panel.without_place for panel in figure.rows[0].panels] == [(2, 2), (1, 2)]


def test_merged_tokens_lead_to_the_one_that_took_them_in():
    span = Span(0, Grid(1, 1, 3), ((0, 3),), ALL)
    merged = drop(1, 3, 1, sources=((0, 2),))
    figure = kept_figure(made(span, drops=(merged,)))
    assert figure.rows[0].panels[1].merges == (Merge((0, 1), ((0, 0), (0, 2))),)
    assert "merged" in figure.legend


def test_what_cannot_be_drawn_is_refused():
    span = Span(0, Grid(1, 1, 1), ((0, 1),), ALL)
    for report in (factory.report(), made(span)):
        with pytest.raises(UsageError):
            kept_figure(report)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Span(0, Grid(1, 10**6, 10**6), ((0, 10**12),)), "1000000000000 tokens"),
        (Span(0, Grid(10**9, 1, 0), ()), "1000000000 pictures"),
    ],
)
def test_a_short_file_cannot_ask_for_hours_of_drawing(span, said):
    with pytest.raises(UsageError, match=said):
        kept_figure(made(span, drops=(drop(1, 1, 0),)))


def test_a_span_of_no_tokens_is_on_no_sheet():
    spans = (Span(0, Grid(1, 0, 1), ((7, 0),), ALL), Span(0, Grid(1, 1, 1), ((0, 1),), ALL))
    [sheet] = kept_figure(made(*spans, drops=(drop(1, 1, 0),))).sheets
    assert sheet.positions == (0,)
