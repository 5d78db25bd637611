"""A glance on a console: one line per arm where the width allows, and the bars below."""

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
    from v2drop_cli.report.view import Glance

_INDENT = 2
_BAR_MOST = 60
_BAR_LEAST = 20


def glance_lines(found: Glance, width: int) -> list[Text]:
    """A row per arm, or where that does not fit a block per arm."""
    lines = [Text(), Text(found.title, "bold")]
    widths = _widths(found, width) if width >= layout.STACK_BELOW else None
    if widths is not None:
        head: list[Styled] = [("", ""), *((name, "dim") for name in found.columns)]
        lines += layout.grid(head, widths, _INDENT)
    label_width = max(map(cell_len, found.columns))
    for row in found.rows:
        cells = [(cell.text, STYLES[cell.tone]) for cell in row.cells]
        if widths is not None:
            lines += layout.grid([(row.label, "bold"), *cells], widths, _INDENT)
            continue
        lines += layout.grid([(row.label, "bold")], [max(width - _INDENT, 1)], _INDENT)
        for name, cell in zip(found.columns, cells, strict=True):
            lines += layout.labelled(((name, "dim"), cell), label_width, width, _INDENT * 2)
    return lines


def spread_lines(spreads: Sequence[Spread], width: int, encoding: str) -> list[Text]:
    """One row of bars per arm over a common axis of prefill times; nothing where it is cramped."""
    if not spreads:
        return []
    names = max(layout.widest_line(spread.name.replace("\n", "")) for spread in spreads)
    room = min(width - _INDENT - names - GAP, _BAR_MOST)
    if room < _BAR_LEAST:
        return []
    plain = encodable(glance.BLOCKS, encoding) != glance.BLOCKS
    levels = glance.ASCII if plain else glance.BLOCKS
    bounds = glance.range_of(spreads)
    count = len(spreads[0].samples)
    title = encodable(f"Prefill times, {count} samples each", encoding)
    lines = [Text(), Text(title, "bold")]
    rows = [(s.name.replace("\n", ""), glance.bars(s, bounds, room, levels)) for s in spreads]
    for name, bars in [*rows, ("", encodable(glance.axis(bounds, room), encoding))]:
        line = Text(" " * _INDENT).append(name + " " * (names - cell_len(name) + GAP), "dim")
        lines.append(line.append(bars, "dim" if not name else ""))
    return lines


def _widths(found: Glance, width: int) -> list[int] | None:
    columns = [
        [row.label for row in found.rows],
        *(
            [name, *(row.cells[number].text for row in found.rows)]
            for number, name in enumerate(found.columns)
        ),
    ]
    least = [max(map(layout.widest_word, texts)) for texts in columns]
    wanted = [max(map(layout.widest_line, texts)) for texts in columns]
    room = width - _INDENT - GAP * (len(columns) - 1)
    return None if sum(least) > room else layout.widen(least, wanted, room)
