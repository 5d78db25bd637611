"""Cells into aligned lines: wrapping, column widths, one grid line. Knows nothing of reports."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from v2drop_cli.report.text import GLUE

GAP = 2
STACK_BELOW = 70
PIPE_WIDTH = 120
"""A pipe has no width of its own; this one keeps logs and pagers readable. COLUMNS overrides."""

STYLES = {"plain": "", "good": "green", "bad": "red", "muted": "dim", "warn": "bold yellow"}
"""The Rich style of each tone."""

Styled = tuple[str, str]
"""A cell's text and its Rich style."""


def width_of(console: Console) -> int:
    """Columns to lay out for."""
    told = os.environ.get("COLUMNS", "")
    if console.is_terminal or (told.isdecimal() and int(told) > 0):
        return console.width
    return PIPE_WIDTH


def wrap(text: str, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` cells, at newlines and plain spaces.

    A word wider than that is folded, at glue first, so that nothing is ever cut off.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line: str | None = None
        for word in paragraph.split(" "):
            longer = word if line is None else f"{line} {word}"
            if cell_len(longer) <= width:
                line = longer
                continue
            if line is not None:
                lines.append(line)
            *full, line = [word] if cell_len(word) <= width else _fold(word, width)
            lines.extend(full)
        lines.append(line or "")
    return lines


def _fold(word: str, width: int) -> list[str]:
    if GLUE in word:
        return wrap(word.replace(GLUE, " "), width)
    parts = [""]
    used = 0
    for char in word:
        size = cell_len(char)
        if used + size > width and parts[-1]:
            parts.append("")
            used = 0
        parts[-1] += char
        used += size
    return parts


def widest_line(text: str) -> int:
    """Cells needed to show ``text`` without wrapping it."""
    return max(cell_len(line) for line in text.split("\n"))


def widest_word(text: str) -> int:
    """Cells needed to show ``text`` without folding a word."""
    return max(cell_len(word) for word in text.replace("\n", " ").split(" "))


def widen(widths: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """``widths`` grown towards ``wanted`` while their sum fits ``room``, the narrowest first."""
    grown = list(widths)
    for _ in range(room - sum(grown)):
        short = [i for i, width in enumerate(grown) if width < wanted[i]]
        if not short:
            break
        grown[min(short, key=grown.__getitem__)] += 1
    return grown


def grid(cells: Sequence[Styled], widths: Sequence[int], indent: int = 0) -> list[Text]:
    """One row of cells as lines, each cell wrapped inside its own column."""
    columns = [wrap(text, width) for (text, _), width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(len(column) for column in columns)):
        line = Text(" " * indent)
        for column, (_, style), width in zip(columns, cells, widths, strict=True):
            text = column[number] if number < len(column) else ""
            line.append(text, style)
            line.append(" " * (width - cell_len(text) + GAP))
        lines.append(line)
    return lines


def labelled(cells: tuple[Styled, Styled], label_width: int, width: int, indent: int) -> list[Text]:
    """Put a value beside its label, or below it where beside leaves too little room."""
    label, value = cells
    room = width - indent - label_width - GAP
    if room >= min(widest_word(value[0]), 16):
        return grid(cells, (label_width, room), indent)
    below = grid((value,), (max(width - indent - GAP, 1),), indent + GAP)
    return grid((label,), (max(width - indent, 1),), indent) + below


def emit(lines: Sequence[Text], console: Console) -> None:
    """Write lines that are already laid out: no wrapping, cropping, markup or highlighting."""
    for line in lines:
        shown = line.copy() if console.is_terminal else Text(line.plain)
        shown.plain = line.plain.replace(GLUE, " ")
        shown.rstrip()
        console.print(shown, soft_wrap=True, highlight=False, markup=False, emoji=False)
