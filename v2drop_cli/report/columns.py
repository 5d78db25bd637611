"""Which columns of a view stand side by side, and how wide each is.

A dozen arms do not fit a terminal: they come in groups under each other, the first column (the
reference) again in front of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from v2drop_cli.report import layout
from v2drop_cli.report.layout import GAP
from v2drop_cli.report.view import View

_INDENT = 2
_PROSE_LEAST = 16
_PROSE_MOST = 60


class Group(NamedTuple):
    """Columns that stand side by side.

    Attributes:
        columns: their places in the view.
        widths: of the labels first, then of each column.
    """

    columns: tuple[int, ...]
    widths: list[int]


class _Needs(NamedTuple):
    """What one column needs: every word whole, every line whole, and every answer on one line."""

    least: int
    unbroken: int
    wanted: int


def column_groups(view: View, width: int) -> list[Group] | None:
    """As few groups as fit; ``None`` where not even two columns stand side by side."""
    if width < layout.STACK_BELOW:
        return None
    rows = [row for section in view.sections for row in section.rows]
    labels = max(layout.widest_line(row.label) for row in rows)
    needs = [_needs(view, at) for at in range(len(view.columns))]
    room = width - _INDENT - labels
    groups = []
    for columns in _packed([need.least + GAP for need in needs], room):
        widths = _widened([needs[at] for at in columns], room - GAP * len(columns))
        groups.append(Group(columns, [labels, *widths]))
    return groups or None


def _packed(sizes: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Places in groups that fit ``room``, place 0 in each; empty where one alone is too large.

    >>> _packed([4, 3, 3, 3], 10)
    [(0, 1, 2), (0, 3)]
    """
    groups: list[tuple[int, ...]] = [(0,)]
    for at in range(1, len(sizes)):
        if sum(sizes[one] for one in groups[-1]) + sizes[at] <= room:
            groups[-1] = (*groups[-1], at)
        elif len(groups[-1]) == 1:
            return []
        else:
            groups.append((0, at))
    fit = all(sum(sizes[at] for at in group) <= room for group in groups)
    return groups if fit else []


def _needs(view: View, at: int) -> _Needs:
    cells = [row.cells[at] for section in view.sections for row in section.rows]
    figures = [view.columns[at], *(cell.text for cell in cells if not cell.prose)]
    prose = [cell.text for cell in cells if cell.prose]
    floor = _PROSE_LEAST if prose else 0
    unbroken = max(floor, *map(layout.widest_line, figures))
    longest = min(max(map(layout.widest_line, prose), default=0), _PROSE_MOST)
    return _Needs(
        least=max(floor, *map(layout.widest_word, figures)),
        unbroken=unbroken,
        wanted=max(unbroken, longest),
    )


def _widened(needs: Sequence[_Needs], room: int) -> list[int]:
    widths = layout.widen([need.least for need in needs], [need.unbroken for need in needs], room)
    return layout.widen(widths, [need.wanted for need in needs], room)
