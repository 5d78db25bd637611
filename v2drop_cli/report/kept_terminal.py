"""A figure of kept tokens on a terminal: half-blocks where there is colour, else counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text

from v2drop_cli.report.kept_figure import KeptFigure, Panel
from v2drop_cli.report.kept_layout import drawn_in
from v2drop_cli.report.kept_pictures import Images
from v2drop_cli.report.kept_png import picture_of, sheet_image
from v2drop_cli.report.kept_sheets import Sheet
from v2drop_cli.report.text import clean, encodable

if TYPE_CHECKING:
    from PIL.Image import Image

_BLOCK = "\N{UPPER HALF BLOCK}"
_GAP = 2
_WIDEST, _NARROWEST = 32, 12  # columns of one sheet
_THIRDS = 3


def preview(figure: KeptFigure, pictures: Images, console: Console) -> None:
    """Show the figure. What is no terminal gets nothing: the files are for programs."""
    if not console.is_terminal:
        return
    colours = console.color_system is not None and not console.no_color
    blocks = colours and encodable(_BLOCK, console.encoding) == _BLOCK
    console.print(Text(encodable(clean(figure.title), console.encoding), "bold"))
    for row in figure.rows:
        console.print(Text(encodable(clean(row.label), console.encoding), "bold"))
        for panel in row.panels:
            console.print(Text(f"  {panel.title}", "dim"))
            if blocks:
                lines = _blocks(figure.sheets, panel, pictures, console.width)
            else:
                lines = _counts(figure.sheets, panel, console.encoding)
            for line in lines:
                console.print(line, overflow="crop", no_wrap=True)
    for note in figure.notes:
        console.print(Text(encodable(clean(note), console.encoding), "dim"))


def _blocks(sheets: Sequence[Sheet], panel: Panel, pictures: Images, width: int) -> Iterator[Text]:
    """The sheets beside each other, as many as fit; two pixels a character."""
    fit = max(1, min(len(sheets), (width - _GAP) // (_NARROWEST + _GAP)))
    wide = max(1, min(_WIDEST, (width - _GAP) // fit - _GAP))
    for start in range(0, len(sheets), fit):
        images = []
        for number in range(start, min(start + fit, len(sheets))):
            high = min(2 * wide, max(2, round(wide / sheets[number].aspect)))
            frame = (0.0, 0.0, float(wide), float(high + high % 2))
            drawn = drawn_in(sheets[number], number, panel, frame)
            images.append(sheet_image(drawn, picture_of(sheets[number], pictures)))
        for y in range(0, max(image.height for image in images), 2):
            line = Text(" " * _GAP)
            for image in images:
                line.append_text(_line(image, y)).append(" " * _GAP)
            yield line


def _line(image: Image, y: int) -> Text:
    if y >= image.height:
        return Text(" " * image.width)
    line = Text()
    for x in range(image.width):
        above, below = (_colour(image, x, at) for at in (y, y + 1))
        line.append(_BLOCK, Style(color=above, bgcolor=below))
    return line


def _colour(image: Image, x: int, y: int) -> str:
    pixel = image.getpixel((x, y))
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


def _counts(sheets: Sequence[Sheet], panel: Panel, encoding: str) -> Iterator[Text]:
    """How many of how many stay in each third of a sheet, across and down."""
    for number, sheet in enumerate(sheets):
        if len(sheets) > 1:
            yield Text(encodable(clean(f"  {sheet.title}"), encoding))
        for row in thirds(sheet, panel.kept[number]):
            cells = "  ".join(f"{f'{kept}/{of}':>9}" for kept, of in row)
            yield Text(f"  {cells}")


def thirds(sheet: Sheet, kept: Sequence[bool]) -> list[list[tuple[int, int]]]:
    """Tokens kept, and all, by the third of the picture that the middle of their cell is in."""
    found = [[(0, 0)] * _THIRDS for _ in range(_THIRDS)]
    for box, stays in zip(sheet.boxes, kept, strict=True):
        column, row = (
            min(int((box[axis] + box[axis + 2]) / 2 * _THIRDS), _THIRDS - 1) for axis in (0, 1)
        )
        had, of = found[row][column]
        found[row][column] = (had + stays, of + 1)
    return found
