"""Simple tables, for ``v2drop models`` and ``v2drop doctor``, in the same forms as a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from v2drop_cli.report import layout
from v2drop_cli.report.layout import GAP, Styled
from v2drop_cli.report.text import encodable, told

_HEADING = "bold"
_LABEL = "dim"
_INDENT = 2
_COLUMN_MOST = 48
_MARK_WIDTH = 4
_DETAIL_LEAST = 24
_MARKS = {True: ("ok", "green"), False: ("FAIL", "bold red"), None: ("n/a", "dim")}


class Check(NamedTuple):
    """One thing ``v2drop doctor`` looked at; ``ok`` is ``None`` where it does not apply here."""

    ok: bool | None
    name: str
    detail: str
    fix: str | None = None

    def as_row(self) -> dict[str, object]:
        """The same as a row of a table."""
        return {"": _MARKS[self.ok][0], "check": self.name, "says": self.detail, "fix": self.fix}


def render_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, object]],
    console: Console,
) -> None:
    """Write ``rows``, each a mapping from column name to value, under ``columns``.

    ``None`` reads ``n/a``, a list is joined with commas. Columns wrap between words; where not
    even that fits, each row becomes a block of its own.
    """
    table = [[_shown(row.get(column), console) for column in columns] for row in rows]
    heads = [_shown(column, console) for column in columns]
    width = layout.width_of(console)
    lines = _title(title, console)
    if not table:
        lines.append(Text("  (none)", _LABEL))
    elif (widths := _widths(heads, table, width)) is not None:
        lines += layout.grid([(head, _HEADING) for head in heads], widths, _INDENT)
        for row in table:
            lines += layout.grid([(text, "") for text in row], widths, _INDENT)
    else:
        lines += _blocks(heads, table, width)
    layout.emit(lines, console)


def render_card(title: str, row: Mapping[str, object], console: Console) -> None:
    """Write one row line by line: each of its names beside its value."""
    heads = [_shown(name, console) for name in row]
    texts = [_shown(value, console) for value in row.values()]
    lines = [*_title(title, console), *_blocks(heads, [texts], layout.width_of(console))]
    layout.emit(lines, console)


def render_notes(title: str, notes: Mapping[str, str], console: Console) -> None:
    """Write a paragraph for each of ``notes``, which begins with its name."""
    width = max(layout.width_of(console) - _INDENT, 1)
    lines = _title(title, console)
    for name, text in notes.items():
        lines += layout.grid([(_shown(f"{name}: {text}", console), "")], [width], _INDENT)
    layout.emit(lines, console)


def render_checks(
    title: str,
    checks: Iterable[Check | tuple[bool | None, str, str, str | None]],
    console: Console,
) -> None:
    """Write one line per check: a word for its state, name, detail, and below it the fix."""
    found = [_clean_check(Check(*check), console) for check in checks]
    width = layout.width_of(console)
    names = max((cell_len(check.name) for check in found), default=0)
    lines = _title(title, console)
    for check in found:
        lines += _check_lines(check, names, width)
    layout.emit(lines, console)


def _clean_check(check: Check, console: Console) -> Check:
    fix = f"fix: {_shown(check.fix, console)}" if check.fix else None
    return Check(check.ok, _shown(check.name, console), _shown(check.detail, console), fix)


def _check_lines(check: Check, names: int, width: int) -> list[Text]:
    body: list[Styled] = [(check.detail, "")]
    if check.fix:
        body.append((check.fix, _HEADING))
    mark, name = _MARKS[check.ok], (check.name, "")
    beside = width - _INDENT - _MARK_WIDTH - names - GAP * 2
    if width >= layout.STACK_BELOW and beside >= _DETAIL_LEAST:
        widths: tuple[int, ...] = (_MARK_WIDTH, names, beside)
        rows = [[mark, name, body[0]], *([("", ""), ("", ""), text] for text in body[1:])]
    else:
        widths = (_MARK_WIDTH, max(width - _INDENT - _MARK_WIDTH - GAP, 1))
        rows = [[mark, name], *([("", ""), text] for text in body)]
    return [line for row in rows for line in layout.grid(row, widths, _INDENT)]


def _shown(value: object, console: Console) -> str:
    return encodable(told(value), console.encoding)


def _title(title: str, console: Console) -> list[Text]:
    return [Text(_shown(title, console), _HEADING)] if title else []


def _widths(heads: Sequence[str], table: Sequence[Sequence[str]], width: int) -> list[int] | None:
    columns = [[head, *cells] for head, *cells in zip(heads, *table, strict=True)]
    least = [max(map(layout.widest_word, cells)) for cells in columns]
    wanted = [max(map(layout.widest_line, cells)) for cells in columns]
    comfortable = [
        max(low, min(full, _COLUMN_MOST)) for low, full in zip(least, wanted, strict=True)
    ]
    room = width - _INDENT - GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    return layout.widen(layout.widen(least, comfortable, room), wanted, room)


def _blocks(heads: Sequence[str], table: Sequence[Sequence[str]], width: int) -> list[Text]:
    label_width = max(map(cell_len, heads))
    lines: list[Text] = []
    for row in table:
        if lines:
            lines.append(Text())
        for number, (head, text) in enumerate(zip(heads, row, strict=True)):
            cells = ((head, _LABEL), (text, "" if number else _HEADING))
            lines += layout.labelled(cells, label_width, width, _INDENT)
    return lines
