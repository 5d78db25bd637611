"""Lengths on a terminal: a line each, on one scale.

Rich's own bar is a renderable of one line; these stand in columns with their names and words,
which a layout of text does.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from v2drop_cli.report.layout import GAP
from v2drop_cli.report.text import encodable
from v2drop_cli.report.view import Bars

_INDENT = 2
_MOST, _LEAST = 50, 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ASCII = "#"


def bar_lines(found: Bars, width: int, encoding: str) -> list[Text]:
    """A line per bar; nothing where it is cramped."""
    names = max((cell_len(bar.name) for bar in found.bars), default=0)
    places = max((cell_len(bar.at) for bar in found.bars), default=0)
    words = max((cell_len(bar.text) for bar in found.bars), default=0)
    room = min(width - _INDENT - names - places - words - 3 * GAP, _MOST)
    longest = max((bar.value for bar in found.bars), default=0.0)
    if room < _LEAST or longest <= 0:
        return []
    plain = encodable(_EIGHTHS, encoding) != _EIGHTHS
    gap = " " * GAP
    lines = [Text(), Text(found.title, "bold")]
    for bar in found.bars:
        line = Text(" " * _INDENT).append(bar.name.ljust(names) + gap, "bold")
        line.append(bar.at.rjust(places) + gap, "dim")
        drawn = drawing(bar.value / longest, room, plain)
        lines.append(line.append(drawn.ljust(room)).append(gap + bar.text, "dim"))
    return lines


def drawing(share: float, room: int, plain: bool) -> str:
    """``share`` of ``room`` cells; in eighths of a cell where the encoding has these.

    >>> drawing(0.5, 4, False), drawing(0.28, 4, False), drawing(0.5, 4, True)
    ('██', '█▏', '##')
    """
    if plain:
        return _ASCII * round(share * room)
    whole, part = divmod(round(share * room * 8), 8)
    return _EIGHTHS[-1] * whole + (_EIGHTHS[part] if part else "")
