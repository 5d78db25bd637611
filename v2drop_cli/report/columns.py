"""How the cells of a view lie on a page: a column per arm, or where these are too many a row.

Two or three arms are read side by side, each quantity a line. A dozen do not fit a terminal like
that: there each arm is a line, and the quantities of a section are its columns, in groups under
each other if they do not fit either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from v2drop_cli.report import layout
from v2drop_cli.report.layout import GAP
from v2drop_cli.report.view import Cell, Section, View

INDENT = 2
_PROSE_LEAST = 16
_PROSE_MOST = 60


class Group(NamedTuple):
    """Quantities of one section that stand side by side, a line per arm.

    Attributes:
        rows: the places of their rows in the section.
        widths: of the arms' names first, then of each quantity.
    """

    rows: tuple[int, ...]
    widths: list[int]


class _Needs(NamedTuple):
    """What one column needs: every word whole, every line whole, and every answer on one line."""

    least: int
    unbroken: int
    wanted: int


def side_by_side(view: View, width: int) -> list[int] | None:
    """Widths of the labels and of each column; ``None`` where not all of them fit."""
    if width < layout.STACK_BELOW:
        return None
    rows = [row for section in view.sections for row in section.rows]
    labels = max(layout.widest_line(row.label) for row in rows)
    cells = [
        [(row.cells[at], row.cells[at].text) for row in rows] for at in range(len(view.columns))
    ]
    needs = [_needs(name, own) for name, own in zip(view.columns, cells, strict=True)]
    room = width - INDENT - labels - GAP * len(needs)
    if sum(need.least for need in needs) > room:
        return None
    return [labels, *_widened(needs, room)]


def in_rows(view: View, width: int) -> list[list[Group]] | None:
    """Of each section the quantities in as few groups as fit; ``None`` where one alone does not."""
    if width < layout.STACK_BELOW:
        return None
    names = _name_width(view, width)
    groups = [_grouped(section, names, width - INDENT - names) for section in view.sections]
    found = [each for each in groups if each is not None]
    return found if len(found) == len(groups) else None


def _name_width(view: View, width: int) -> int:
    """Names stay whole if that takes less than two fifths of the page."""
    least = max(map(layout.widest_word, view.columns))
    return min(max(least, width * 2 // 5), max(map(layout.widest_line, view.columns)))


def _grouped(section: Section, names: int, room: int) -> list[Group] | None:
    cells = [[(cell, cell.in_a_row) for cell in row.cells] for row in section.rows]
    needs = [_needs(row.label, own) for row, own in zip(section.rows, cells, strict=True)]
    if any(need.least + GAP > room for need in needs):
        return None
    groups = []
    for rows in _packed([min(need.unbroken + GAP, room) for need in needs], room):
        widths = _widened([needs[at] for at in rows], room - GAP * len(rows))
        groups.append(Group(rows, [names, *widths]))
    return groups


def _packed(sizes: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Places, in their order, in groups that fit ``room``; no size is larger than that.

    >>> _packed([4, 3, 3, 9, 2], 10)
    [(0, 1, 2), (3,), (4,)]
    """
    groups: list[tuple[int, ...]] = []
    for at, size in enumerate(sizes):
        if groups and sum(sizes[one] for one in groups[-1]) + size <= room:
            groups[-1] = (*groups[-1], at)
        else:
            groups.append((at,))
    return groups


def _needs(head: str, cells: Sequence[tuple[Cell, str]]) -> _Needs:
    """Of a column of cells and their texts; its head breaks before a figure does."""
    figures = [text for cell, text in cells if not cell.prose]
    prose = [text for cell, text in cells if cell.prose]
    floor = max(_PROSE_LEAST if prose else 0, layout.widest_word(head))
    unbroken = max([floor, *map(layout.widest_line, figures)])
    longest = min(max(map(layout.widest_line, prose), default=0), _PROSE_MOST)
    return _Needs(
        least=max([floor, *map(layout.widest_word, figures)]),
        unbroken=unbroken,
        wanted=max(unbroken, longest, layout.widest_line(head)),
    )


def _widened(needs: Sequence[_Needs], room: int) -> list[int]:
    """Widths that fit ``room``: first every figure whole, then as much of the prose as there is."""
    least = [need.least for need in needs]
    widths = layout.widen(least, [need.unbroken for need in needs], room)
    return layout.widen(widths, [need.wanted for need in needs], room)
