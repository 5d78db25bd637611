"""A figure of kept tokens as PNG, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.report.kept_figure import KeptFigure
from v2drop_cli.report.kept_layout import Drawn, Paper, lay_out
from v2drop_cli.report.kept_sheets import Box, Sheet
from v2drop_cli.report.kept_svg import (
    BACKGROUND,
    CANVAS,
    DIM,
    DIMMED,
    HEATED,
    HOT,
    INK,
    MERGED,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Pixels of the file for one of the layout: text and thin rows stay sharp on today's screens.
_SCALE = 2
Images = Mapping[tuple[int, int], "Image"]


def kept_png(figure: KeptFigure, pictures: Images | None = None) -> bytes:
    """The whole figure; a grey canvas stands for a picture that is not given."""
    stream = io.BytesIO()
    kept_image(figure, pictures).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def kept_image(figure: KeptFigure, pictures: Images | None = None) -> Image:
    """The same as a picture."""
    paper = lay_out(figure)
    return draw(paper, figure.sheets, pictures or {})


def draw(paper: Paper, sheets: Sequence[Sheet], pictures: Images) -> Image:
    """What was laid out, drawn."""
    from PIL import Image, ImageDraw, ImageFont

    size = (paper.width * _SCALE, paper.height * _SCALE)
    canvas = Image.new("RGB", size, BACKGROUND)
    for drawn in paper.sheets:
        _sheet(canvas, drawn, _picture(sheets[drawn.sheet], pictures))
    pen = ImageDraw.Draw(canvas)
    for words in paper.words:
        font: Any = ImageFont.load_default(words.size * _SCALE)
        at = (words.x * _SCALE, words.y * _SCALE)
        weight = 0.5 if words.bold else 0
        pen.text(at, words.text, fill=INK, font=font, anchor="ls", stroke_width=weight)
    return canvas


def _picture(sheet: Sheet, pictures: Images) -> Image | None:
    if sheet.media is None or sheet.frame is None or not sheet.placed:
        return None
    return pictures.get((sheet.media, sheet.frame))


def _sheet(canvas: Image, drawn: Drawn, picture: Image | None) -> None:
    from PIL import Image, ImageColor, ImageDraw

    left, top, right, bottom = _pixels(drawn.frame)
    size = (max(right - left, 1), max(bottom - top, 1))
    shown = Image.new("RGB", size, CANVAS) if picture is None else picture.resize(size)
    shades = Image.new("RGBA", size)
    pen = ImageDraw.Draw(shades)
    for box, score in drawn.heat:
        pen.rectangle(_within(box, left, top), (*_rgb(HOT), round(255 * HEATED * score)))
    lit = Image.alpha_composite(shown.convert("RGBA"), shades)
    dims = Image.new("RGBA", size)
    pen = ImageDraw.Draw(dims)
    for box in drawn.dropped:
        pen.rectangle(_within(box, left, top), (*_rgb(DIM), round(255 * DIMMED)))
    for x0, y0, x1, y1 in drawn.lines:
        ends = [x0 * _SCALE - left, y0 * _SCALE - top, x1 * _SCALE - left, y1 * _SCALE - top]
        pen.line(ends, fill=(*ImageColor.getrgb(MERGED)[:3], 255), width=1)
    canvas.paste(Image.alpha_composite(lit, dims).convert("RGB"), (left, top))


def _rgb(name: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(name)[:3]
    return red, green, blue


def _pixels(box: Box) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(side * _SCALE) for side in box)
    return left, top, right, bottom


def _within(box: Box, left: int, top: int) -> tuple[int, int, int, int]:
    """In pixels of the sheet; Pillow's rectangles hold their last row and column."""
    x0, y0, x1, y1 = _pixels(box)
    return x0 - left, y0 - top, max(x1 - left - 1, x0 - left), max(y1 - top - 1, y0 - top)
