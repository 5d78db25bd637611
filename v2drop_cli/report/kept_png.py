"""A figure of kept tokens as PNG, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.report.kept_figure import KeptFigure
from v2drop_cli.report.kept_layout import Drawn, Paper, lay_out
from v2drop_cli.report.kept_pictures import Images
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
    OVER_HEAT,
    PALE,
    VEILED,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Pixels of the file for one of the layout: text and thin rows stay sharp on today's screens.
_SCALE = 2


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
        _sheet(canvas, drawn, picture_of(sheets[drawn.sheet], pictures))
    pen = ImageDraw.Draw(canvas)
    for words in paper.words:
        font: Any = ImageFont.load_default(words.size * _SCALE)
        at = (words.x * _SCALE, words.y * _SCALE)
        weight = 0.5 if words.bold else 0
        pen.text(at, words.text, fill=INK, font=font, anchor="ls", stroke_width=weight)
    return canvas


def picture_of(sheet: Sheet, pictures: Images) -> Image | None:
    """What lies under the sheet's cells, if it is given and they have a place in it."""
    if sheet.media is None or sheet.frame is None or not sheet.placed:
        return None
    return pictures.get((sheet.media, sheet.frame))


def _sheet(canvas: Image, drawn: Drawn, picture: Image | None) -> None:
    left, top, _, _ = _pixels(drawn.frame, _SCALE)
    canvas.paste(sheet_image(drawn, picture, _SCALE), (left, top))


def sheet_image(drawn: Drawn, picture: Image | None, scale: int = 1) -> Image:
    """One sheet of one panel, ``scale`` pixels for one of the layout."""
    from PIL import Image, ImageColor, ImageDraw

    left, top, right, bottom = _pixels(drawn.frame, scale)
    size = (max(right - left, 1), max(bottom - top, 1))
    shown = Image.new("RGB", size, CANVAS) if picture is None else picture.resize(size)
    pen = ImageDraw.Draw(shades := Image.new("RGBA", size))
    for box, score in drawn.heat:
        inside = _within(_pixels(box, scale), left, top)
        pen.rectangle(inside, (*_rgb(HOT), round(255 * HEATED * score)))
    lit = Image.alpha_composite(shown.convert("RGBA"), shades)
    pen = ImageDraw.Draw(dims := Image.new("RGBA", size))
    dimmed = OVER_HEAT if drawn.heat else DIMMED
    for boxes, colour, share in ((drawn.unseen, PALE, VEILED), (drawn.dropped, DIM, dimmed)):
        for box in boxes:
            inside = _within(_pixels(box, scale), left, top)
            pen.rectangle(inside, (*_rgb(colour), round(255 * share)))
    for x0, y0, x1, y1 in drawn.lines:
        ends = [x0 * scale - left, y0 * scale - top, x1 * scale - left, y1 * scale - top]
        pen.line(ends, fill=(*ImageColor.getrgb(MERGED)[:3], 255), width=1)
    return Image.alpha_composite(lit, dims).convert("RGB")


def _rgb(name: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(name)[:3]
    return red, green, blue


def _pixels(box: Box, scale: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(side * scale) for side in box)
    return left, top, right, bottom


def _within(pixels: tuple[int, int, int, int], left: int, top: int) -> tuple[int, int, int, int]:
    """In pixels of the sheet; Pillow's rectangles hold their last row and column."""
    x0, y0, x1, y1 = pixels
    return x0 - left, y0 - top, max(x1 - left - 1, x0 - left), max(y1 - top - 1, y0 - top)
