"""A view on a console: a column per arm, a line per arm, or a block; or plain text for a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from v2drop_cli.report import layout
from v2drop_cli.report.bar_lines import bar_lines
from v2drop_cli.report.columns import INDENT, Group, in_rows, side_by_side
from v2drop_cli.report.glance_lines import glance_lines, spread_lines
from v2drop_cli.report.layout import GAP, STYLES, Styled
from v2drop_cli.report.text import encodable
from v2drop_cli.report.view import Cell, Fact, Section, View

_HEADING = "bold"
_LABEL = "dim"
_STACKED_LABEL = 16


@dataclass(frozen=True, slots=True)
class _Page:
    """What the lines are laid out for."""

    width: int
    ruled: bool
    line: str

    def block_head(self, title: str) -> list[Text]:
        if not self.ruled:
            return [Text(f"== {title} ==")]
        *above, last = layout.wrap(f"{self.line * 2} {title}", self.width)
        rule = " " + self.line * (self.width - cell_len(last) - 1)
        return [
            *(Text(line, _HEADING) for line in above),
            Text(last, _HEADING).append(rule, _LABEL),
        ]


def render(view: View, console: Console) -> None:
    """Write ``view`` in the form that fits ``console``.

    What was asked comes first, then the finding, the glance, the details, and how it was
    measured. What is not a terminal gets the same text without rules or colour, laid out for
    :data:`~v2drop_cli.report.layout.PIPE_WIDTH` columns.
    """
    view = view.translated(lambda text: encodable(text, console.encoding))
    terminal = console.is_terminal
    page = _Page(
        width=layout.width_of(console),
        ruled=terminal,
        line=encodable("─", console.encoding),
    )
    lines = _facts(view.facts, page)
    if view.finding is not None:
        lines += [Text()] if lines else []
        lines += _finding(view.finding, page)
    if view.glance is not None:
        lines += glance_lines(view.glance, page.width)
    if view.notes:
        lines += [Text(), *_facts(view.notes, page)]
    if view.columns:
        lines += _details(view, page)
    if view.glance is not None and terminal and page.width >= layout.STACK_BELOW:
        lines += spread_lines(view.glance.spreads, page.width, console.encoding)
    if terminal and page.width >= layout.STACK_BELOW:
        for each in view.curves:
            lines += bar_lines(each, page.width, console.encoding)
    lines.append(Text())
    lines += _facts(view.footer, page)
    layout.emit(lines, console)


def _finding(finding: Cell, page: _Page) -> list[Text]:
    style = f"{_HEADING} {STYLES[finding.tone]}".strip()
    wrapped = layout.wrap(finding.text, page.width)
    return [Text(line, style) for line in wrapped]


def _details(view: View, page: _Page) -> list[Text]:
    """All rows: a column per arm if these fit, else a line per arm, else a block per arm."""
    widths = side_by_side(view, page.width)
    if widths is not None:
        return [Text(), *_side_by_side(view, widths, page)]
    groups = in_rows(view, page.width)
    if groups is not None:
        pairs = zip(view.sections, groups, strict=True)
        return [line for pair in pairs for line in _in_rows(view, *pair, page)]
    return [Text(), *_stacked(view, page)]


def _facts(facts: Sequence[Fact], page: _Page) -> list[Text]:
    label_width = max((cell_len(fact.label) for fact in facts), default=0)
    lines: list[Text] = []
    for fact in facts:
        label_style = STYLES["warn"] if fact.tone == "warn" else _LABEL
        cells = ((fact.label, label_style), (fact.text, STYLES[fact.tone]))
        lines += layout.labelled(cells, label_width, page.width, 0)
    return lines


def _side_by_side(view: View, widths: list[int], page: _Page) -> list[Text]:
    names: list[Styled] = [("", ""), *((name, _HEADING) for name in view.columns)]
    lines = layout.grid(names, widths, INDENT)
    if page.ruled:
        across = INDENT + sum(widths) + GAP * (len(widths) - 1)
        lines.append(Text(page.line * across, _LABEL))
    for section in view.sections:
        lines += _title(section, page, spaced=True)
        for row in section.rows:
            cells = map(_styled, row.cells)
            lines += layout.grid([(row.label, _LABEL), *cells], widths, INDENT)
    return lines


def _in_rows(view: View, section: Section, groups: Sequence[Group], page: _Page) -> list[Text]:
    """One section: a line per arm under the names of its quantities, group by group."""
    lines: list[Text] = []
    for number, group in enumerate(groups):
        lines += [Text()] if number or not section.title else _title(section, page, spaced=True)
        rows = [section.rows[at] for at in group.rows]
        heads: list[Styled] = [("", ""), *((row.label, _LABEL) for row in rows)]
        lines += layout.grid(heads, group.widths, INDENT)
        for at, name in enumerate(view.columns):
            cells = [(row.cells[at].in_a_row, STYLES[row.cells[at].tone]) for row in rows]
            lines += layout.grid([(name, _HEADING), *cells], group.widths, INDENT)
    return lines


def _stacked(view: View, page: _Page) -> list[Text]:
    labels = [row.label for section in view.sections for row in section.rows]
    label_width = max(map(layout.widest_line, labels))
    if page.width < layout.STACK_BELOW:
        label_width = max(min(label_width, _STACKED_LABEL), *map(layout.widest_word, labels))
    lines: list[Text] = []
    for number, name in enumerate(view.columns):
        if number:
            lines.append(Text())
        lines += page.block_head(name.replace("\n", ""))
        for section in view.sections:
            said = [row for row in section.rows if not row.cells[number].filler]
            lines += _title(section, page, spaced=False) if said else []
            for row in said:
                cells = ((row.label, _LABEL), _styled(row.cells[number]))
                lines += layout.labelled(cells, label_width, page.width, INDENT)
    return lines


def _title(section: Section, page: _Page, *, spaced: bool) -> list[Text]:
    if not section.title:
        return []
    title = [Text(line, _HEADING) for line in layout.wrap(section.title, page.width)]
    return [Text(), *title] if spaced else title


def _styled(cell: Cell) -> Styled:
    return cell.text, STYLES[cell.tone]
