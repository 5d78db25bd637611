"""A glance on a console: one line per arm where the width allows; and the bars of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from v2drop_cli.report import glance, layout
from v2drop_cli.report.glance import Spread
from v2drop_cli.report.layout import GAP, STYLES, Styled
from v2drop_cli.report.text import encodable

if TYPE_CHECKING:
    from v2drop_cli.report.view import Glance, Row

_INDENT = 2
_BAR_MOST = 60
_BAR_LEAST = 20


def glance_lines(found: Glance, width: int) -> list[Text]:
    """A line per arm; where that does not fit, a block per arm and a line per column."""
    lines = [Text(), Text(found.title, "bold")]
    widths = _widths(found, width) if width >= layout.STACK_BELOW else None
    if widths is None:
        return lines + _blocks(found, width)
    head: list[Styled] = [("", ""), *((name, "dim") for name in found.columns)]
    rows = [[(row.label, "bold"), *_styled(row)] for row in found.rows]
    return lines + [line for cells in (head, *rows) for line in layout.grid(cells, widths, _INDENT)]


def _blocks(found: Glance, width: int) -> list[Text]:
    label_width = max(map(cell_len, found.columns))
    lines: list[Text] = []
    for row in found.rows:
        lines += layout.grid([(_flat(row.label), "bold")], [max(width - _INDENT, 1)], _INDENT)
        for name, cell in zip(found.columns, _styled(row), strict=True):
            lines += layout.labelled(((name, "dim"), cell), label_width, width, _INDENT * 2)
    return lines


def _styled(row: Row) -> list[Styled]:
    return [(cell.text, STYLES[cell.tone]) for cell in row.cells]


def _flat(name: str) -> str:
    """A name on a line of its own needs none of the breaks it offers."""
    return name.replace("\n", "")


def spread_lines(spreads: Sequence[Spread], width: int, encoding: str) -> list[Text]:
    """One row of bars per arm over a common axis of prefill times; nothing where it is cramped."""
    if not spreads:
        return []
    names = max(layout.widest_line(_flat(spread.name)) for spread in spreads)
    room = min(width - _INDENT - names - GAP, _BAR_MOST)
    if room < _BAR_LEAST:
        return []
    plain = encodable(glance.BLOCKS, encoding) != glance.BLOCKS
    levels = glance.ASCII if plain else glance.BLOCKS
    bounds = glance.range_of(spreads)
    count = len(spreads[0].samples)
    title = encodable(f"Prefill times, {count} samples each", encoding)
    lines = [Text(), Text(title, "bold")]
    rows = [(_flat(s.name), glance.bars(s, bounds, room, levels)) for s in spreads]
    for name, bars in [*rows, ("", encodable(glance.axis(bounds, room), encoding))]:
        line = Text(" " * _INDENT).append(name + " " * (names - cell_len(name) + GAP), "dim")
        lines.append(line.append(bars, "dim" if not name else ""))
    return lines


def _widths(found: Glance, width: int) -> list[int] | None:
    """Of the names first, then a column each; ``None`` where a figure would have to be broken."""
    places = range(len(found.columns))
    cells = [[found.columns[at], *(row.cells[at].text for row in found.rows)] for at in places]
    columns = [[row.label for row in found.rows], *cells]
    least = [max(map(layout.widest_word, texts)) for texts in columns]
    wanted = [max(map(layout.widest_line, texts)) for texts in columns]
    room = width - _INDENT - GAP * (len(columns) - 1)
    return None if sum(least) > room else layout.widen(least, wanted, room)
