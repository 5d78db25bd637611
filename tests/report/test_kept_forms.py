"""A figure of kept tokens as SVG, as PNG and on a terminal: the same cells in each."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from tests.report.test_kept_figure import ALL, PICTURE, drop, made
from v2drop_cli.records import Grid, Span
from v2drop_cli.report.kept_figure import kept_figure
from v2drop_cli.report.kept_layout import lay_out
from v2drop_cli.report.kept_pictures import data_uris
from v2drop_cli.report.kept_png import kept_image, kept_png
from v2drop_cli.report.kept_svg import kept_svg, panel_svg
from v2drop_cli.report.kept_terminal import preview, thirds

SPACE = "{http://www.w3.org/2000/svg}"
GREEN = (20, 200, 40)
SPAN = Span(0, Grid(1, 1, 2), ((0, 2),), (0.25, 0.0, 0.75, 1.0))
"""A picture whose outer quarters were cut off, as two tokens."""


def figure(**changes):
    """The right one stays."""
    return replace(kept_figure(made(SPAN, drops=(drop(1, 2, 1),))), **changes)


def green():
    return {(0, 0): Image.new("RGB", (40, 20), GREEN)}


def colours(image, drawn):
    """In the middle of the quarters of a sheet, from left to right."""
    left, top, right, bottom = (2 * side for side in drawn.frame)
    row = (top + bottom) // 2
    return [image.getpixel((left + (right - left) * (n + 0.5) / 4, row)) for n in range(4)]


def test_a_png_dims_what_is_dropped_and_veils_what_was_cut_off():
    image = kept_image(figure(), green())
    every, after = (colours(image, drawn) for drawn in lay_out(figure()).sheets)
    assert every[1] == every[2] == after[2] == GREEN
    assert every[0] == every[3] == after[0] == after[3]
    assert min(every[0]) > 150  # pale
    assert max(after[1]) < 80  # dark
    again = Image.open(io.BytesIO(kept_png(figure(), green())))
    assert again.tobytes() == image.tobytes()


def test_scores_are_red_behind_the_tokens():
    report = made(SPAN, drops=(drop(1, 2, 1),))
    [arm] = [arm.label for arm in report.arms if arm.drops]
    hot = kept_figure(report, (), {arm: {1: {0: 0.0, 1: 1.0}}})
    assert "red" in hot.legend
    assert hot.rows[0].panels[1].scores == ((0.0, 1.0),)
    every, after = (colours(kept_image(hot, green()), drawn) for drawn in lay_out(hot).sheets)
    assert every[2] == GREEN
    assert after[2][0] > 150 > after[2][1]
    fills = {path.attrib["fill"] for path in ET.fromstring(kept_svg(hot)).iter(f"{SPACE}path")}
    assert "#ff2d20" in fills


def test_without_the_picture_the_canvas_is_grey():
    image = kept_image(figure())
    red, green_, blue = colours(image, lay_out(figure()).sheets[0])[1]
    assert max(red, green_, blue) - min(red, green_, blue) < 20


def test_an_svg_has_a_shape_for_all_that_is_dropped():
    root = ET.fromstring(kept_svg(figure()))
    paths = [path.attrib for path in root.iter(f"{SPACE}path")]
    dark = [path for path in paths if path["fill"] == "#101216"]
    assert [path["d"] for path in dark] == ["M326 72H386V192H326z"]  # 240 wide from 266 on
    assert root.find(f"{SPACE}title").text == "Kept tokens: llava-1.5-7b \N{MIDDLE DOT} street.png"


def test_an_svg_holds_each_picture_once_and_asks_for_nothing():
    text = kept_svg(figure(), data_uris(green()))
    root = ET.fromstring(text)
    [image] = root.iter(f"{SPACE}image")
    assert image.attrib["href"].startswith("data:image/png;base64,")
    assert [use.attrib["href"] for use in root.iter(f"{SPACE}use")] == [
        f"#{image.attrib['id']}"
    ] * 2
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_hostile_names_stay_text():
    evil = '"/><script>alert(1)</script>\x1b[2J'
    media = (replace(PICTURE, path=f"/data/{evil}"),)
    shown = kept_figure(made(SPAN, media=media, drops=(drop(1, 2, 1),), model=evil), [evil])
    root = ET.fromstring(kept_svg(shown))
    assert not [*root.iter(f"{SPACE}script")]
    assert [text for text in root.itertext() if "alert(1)" in text]
    assert ET.fromstring(panel_svg(shown.sheets, shown.rows[0].panels[1])) is not None
    kept_image(shown)


def shown(width=100, pictures=(), **options):
    """What a terminal of that kind is sent."""
    stream = io.StringIO()
    given = {"force_terminal": True, "color_system": "truecolor", "legacy_windows": False}
    console = Console(file=stream, width=width, _environ={}, **given | options)
    preview(figure(), dict(pictures), console)
    return stream.getvalue()


def test_a_pipe_is_sent_nothing():
    assert shown(force_terminal=False) == ""


def test_a_terminal_with_colour_shows_the_picture():
    text = shown(pictures=green())
    assert "\x1b[38;2;20;200;40;48;2;20;200;40m\N{UPPER HALF BLOCK}" in text
    assert "dark: dropped" in text
    assert "all 2 tokens" in text.splitlines()[2]
    assert "layer 1: 1 of 2" in text.splitlines()[2]


@pytest.mark.parametrize("width", [1, 20, 40])
def test_a_narrow_terminal_is_not_overrun(width):
    plain = Console(file=io.StringIO(), width=width, _environ={})
    with plain.capture():
        text = shown(width)
    lines = [line for line in _uncoloured(text).splitlines() if "\N{UPPER HALF BLOCK}" in line]
    assert all(len(line) <= max(width, 5) for line in lines)


def _uncoloured(text):
    from rich.text import Text

    return Text.from_ansi(text).plain


def test_without_colour_there_are_counts():
    text = shown(no_color=True)
    assert "\N{UPPER HALF BLOCK}" not in text
    assert "dark" not in text
    assert "in each third" in text


def test_thirds_count_cells_by_their_middles():
    span = Span(0, Grid(1, 3, 6), ((0, 18),), ALL)
    [sheet] = kept_figure(made(span, drops=(drop(1, 18, 0),))).sheets
    kept = [position in {0, 1, 17} for position in sheet.positions]
    assert thirds(sheet, kept) == [
        [(2, 2), (0, 2), (0, 2)],
        [(0, 2), (0, 2), (0, 2)],
        [(0, 2), (0, 2), (1, 2)],
    ]
