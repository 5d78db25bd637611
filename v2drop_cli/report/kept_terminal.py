"""A figure of kept tokens on a terminal: half-blocks where there is colour, else counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text

from v2drop_cli.report.kept_figure import FigureRow, KeptFigure, Panel
from v2drop_cli.report.kept_layout import drawn_in
from v2drop_cli.report.kept_pictures import Images
from v2drop_cli.report.kept_png import kept_image, picture_of, sheet_image
from v2drop_cli.report.kept_sheets import Sheet
from v2drop_cli.report.text import clean, encodable

if TYPE_CHECKING:
    from PIL.Image import Image

_BLOCK = "\N{UPPER HALF BLOCK}"
_GAP = 2
_WIDEST, _NARROWEST = 32, 12  # columns of one sheet
_THIRDS = 3
COUNTED = "tokens that stay, of all, in each third of the picture across and down"


def preview(figure: KeptFigure, pictures: Images, console: Console) -> None:
    """Show the figure. What is no terminal gets nothing: the files are for programs."""
    if not console.is_terminal or _as_image(figure, pictures, console):
        return
    colours = console.color_system is not None and not console.no_color
    blocks = colours and encodable(_BLOCK, console.encoding) == _BLOCK

    def say(line: str | Text, style: str = "") -> None:
        text = Text(encodable(clean(line), console.encoding)) if isinstance(line, str) else line
        text.stylize(style)
        console.print(text, overflow="crop", no_wrap=True)

    say(figure.title, "bold")
    for row in figure.rows:
        say(row.label, "bold")
        for line in (
            _blocks(figure, row, pictures, console.width) if blocks else _counts(figure, row)
        ):
            say(line)
    for note in (figure.legend if blocks else COUNTED, *figure.notes):
        console.print(Text(encodable(clean(note), console.encoding), "dim"))


def _as_image(figure: KeptFigure, pictures: Images, console: Console) -> bool:
    """The figure itself, where ``textual-image`` is installed and the terminal shows images.

    It asks the terminal when it is imported; its own blocks are no better than ours.
    """
    if console.no_color or not sys.stdin.isatty():  # the terminal's answer comes from stdin
        return False
    try:
        from textual_image.renderable import Image, SixelImage, TGPImage
    except ImportError:
        return False
    if Image not in (SixelImage, TGPImage):
        return False
    try:
        console.print(Image(kept_image(figure, pictures), width="100%", height="auto"))
    except ArithmeticError:  # a terminal that does not tell how large its cells are
        return False
    return True


def _blocks(figure: KeptFigure, row: FigureRow, pictures: Images, width: int) -> Iterator[Text]:
    """A panel after the other, and its sheets beside each other; of one sheet all panels so."""
    sheets, panels = figure.sheets, row.panels
    several = len(sheets) > 1
    for group in [(panel,) for panel in panels] if several else [panels]:
        if several:
            yield Text(f"{' ' * _GAP}{group[0].title}", "dim")
        cells = [(panel, number) for panel in group for number in range(len(sheets))]
        longest = 0 if several else max(len(panel.title) for panel in group)
        narrowest = max(_NARROWEST, min(longest, width - 2 * _GAP))
        fit = max(1, min(len(cells), (width - _GAP) // (narrowest + _GAP)))
        wide = max(1, min(_WIDEST, (width - _GAP) // fit - _GAP))
        for start in range(0, len(cells), fit):
            shown = cells[start : start + fit]
            if not several:
                titles = [panel.title[:wide].ljust(wide) for panel, _ in shown]
                yield Text(" " * _GAP + (" " * _GAP).join(titles), "dim")
            yield from _strip([_image(figure, cell, pictures, wide) for cell in shown])


def _image(figure: KeptFigure, cell: tuple[Panel, int], pictures: Images, wide: int) -> Image:
    """One sheet of one panel; two pixels a character."""
    panel, number = cell
    sheet = figure.sheets[number]
    high = min(2 * wide, max(2, round(wide / sheet.aspect)))
    drawn = drawn_in(sheet, number, panel, (0.0, 0.0, float(wide), float(high + high % 2)))
    return sheet_image(drawn, picture_of(sheet, pictures))


def _strip(images: Sequence[Image]) -> Iterator[Text]:
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


def _counts(figure: KeptFigure, row: FigureRow) -> Iterator[str | Text]:
    """How many of how many stay in each third of a sheet, across and down."""
    for panel in row.panels:
        yield Text(f"{' ' * _GAP}{panel.title}", "dim")
        for number, sheet in enumerate(figure.sheets):
            if len(figure.sheets) > 1:
                yield f"{' ' * _GAP}{sheet.title}"
            for line in thirds(sheet, panel.kept[number]):
                counts = (f"{kept}/{of}".rjust(9) for kept, of in line)
                yield " " * _GAP + "  ".join(counts)


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
