"""The tables of a view, with the same words as on the terminal; their heads sort the lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from v2drop_cli.report.html.definitions import link
from v2drop_cli.report.html.markup import Child, Markup, lines, tag
from v2drop_cli.report.markdown import MOST_COLUMNS
from v2drop_cli.report.terms import ARM
from v2drop_cli.report.text import clean, told
from v2drop_cli.report.view import Cell, Fact, Glance, Section, View


def glance_table(glance: Glance) -> Markup:
    """A line per arm."""
    heads = [link(name, words) for name, words in zip(glance.about, glance.columns, strict=True)]
    rows = [(lines(row.label), row.cells) for row in glance.rows]
    return _table(glance.title, [link(ARM, "arm"), *heads], rows)


def section_tables(view: View, *, alike: bool = False) -> list[Markup]:
    """Each section: a column per arm, or where these are too many a line.

    Args:
        view: what the tables say.
        alike: the lines of a section can be sorted by a column, as ratios can; times and answers
            in one column cannot.
    """
    return [section_table(view, section, alike=alike) for section in view.sections]


def section_table(view: View, section: Section, *, alike: bool = False) -> Markup:
    """One of them."""
    if len(view.columns) > MOST_COLUMNS:
        return _turned(section, view.columns)
    return _upright(section, view.columns, alike)


def facts(found: Iterable[Fact]) -> Markup:
    """Labelled lines."""
    pairs = [[tag("dt", fact.label), tag("dd", fact.text, class_=fact.tone)] for fact in found]
    return tag("dl", pairs, class_="facts")


def environment(found: Mapping[str, object]) -> Markup | None:
    """Machine and versions, as they are in the document."""
    if not found:
        return None
    pairs = [
        [tag("dt", clean(name.replace("_", " "))), tag("dd", told(value))]
        for name, value in found.items()
    ]
    return tag("dl", pairs, class_="facts")


def command(line: str | None) -> Child:
    """What was typed; nothing where nobody typed anything."""
    if line is None:
        return None
    return [tag("h3", "Command"), tag("pre", tag("code", clean(line)))]


def _upright(section: Section, columns: Sequence[str], alike: bool) -> Markup:
    rows = [(link(row.about, row.label), row.cells) for row in section.rows]
    return _table(section.title or "Arms", ["", *map(lines, columns)], rows, sortable=alike)


def _turned(section: Section, columns: Sequence[str]) -> Markup:
    heads = [link(row.about, row.label) for row in section.rows]
    rows = [
        (lines(name), tuple(row.cells[at] for row in section.rows))
        for at, name in enumerate(columns)
    ]
    return _table(section.title or "Arms", [link(ARM, "arm"), *heads], rows)


def _table(
    title: str,
    heads: Sequence[Child],
    rows: Sequence[tuple[Child, tuple[Cell, ...]]],
    *,
    sortable: bool = True,
) -> Markup:
    """Around it a box that scrolls sideways, so that the page never does."""
    head = tag("tr", [tag("th", each, scope="col") for each in heads])
    body = [
        tag("tr", tag("th", label, scope="row"), [_cell(cell) for cell in cells])
        for label, cells in rows
    ]
    table = tag(
        "table",
        tag("caption", title),
        tag("thead", head),
        tag("tbody", body),
        class_="sortable" if sortable else None,
    )
    return tag("div", table, class_="wide", tabindex=0, role="region", aria_label=title)


def _cell(cell: Cell) -> Markup:
    value = None if cell.value is None else repr(float(cell.value))
    look = f"{cell.tone} prose" if cell.prose else cell.tone
    return tag("td", cell.text, class_=look, data_value=value)
