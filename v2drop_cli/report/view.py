"""What any document says, before any form: facts, columns, sections of rows, footers.

Pure and torch-free. Every form (terminal, pipe, Markdown) shows this same structure. All text in a
view is already safe to show, and :data:`~v2drop_cli.report.text.GLUE` marks where no line may
break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from v2drop_cli.report.claims import Claim
from v2drop_cli.report.glance import Spread
from v2drop_cli.report.wording import Tone


@dataclass(frozen=True, slots=True)
class Cell:
    """What one arm has to say in one row.

    Attributes:
        text: may hold line breaks.
        prose: wraps anywhere between words and never decides how wide its column must be.
        filler: only keeps the columns in step; a block of its own leaves the row out.
        short: the same with signs for words, where a dozen cells stand under each other.
        value: the number that the text shows, for whoever sorts by it.
    """

    text: str
    tone: Tone = "plain"
    prose: bool = False
    filler: bool = False
    short: str | None = None
    value: float | None = None

    @property
    def in_a_row(self) -> str:
        """The text where an arm is a line of a table."""
        return self.text if self.short is None else self.short


def claim_cell(claim: Claim) -> Cell:
    """What one speed-up shows."""
    value = None if claim.ratio is None else claim.ratio.median
    return Cell(*claim.said, short=claim.signed, value=value)


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity over all arms, one cell per column.

    Attributes:
        about: the name of what it shows, in ``records/meanings.py`` or ``report/terms.py``;
            ``None`` for what explains itself.
    """

    label: str
    cells: tuple[Cell, ...]
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together; the first one has no title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled line that concerns all arms."""

    label: str
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Glance:
    """The table under the finding: a row per arm, and what can be drawn of their samples.

    Attributes:
        about: of each column, as in :class:`Row`.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    spreads: tuple[Spread, ...] = ()
    about: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One length to be drawn.

    Attributes:
        name: what it is of; empty where it is of the same as the bar above.
        at: where along the curve it is.
        value: its length.
        text: the same in words.
    """

    name: str
    at: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Lengths on one scale, for terminals only."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A whole report, ready to be laid out.

    A line break in a column's name is only an offer, for where the name is too long.

    Attributes:
        facts: what was asked, and of what.
        finding: the answer in one sentence; everything below only details it.
        glance: one row per arm.
        notes: what the glance shows, in words.
        curves: what is drawn where there is room for it.
    """

    facts: tuple[Fact, ...]
    columns: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: tuple[Fact, ...]
    glance: Glance | None = None
    finding: Cell | None = None
    notes: tuple[Fact, ...] = ()
    curves: tuple[Bars, ...] = ()

    def translated(self, change: Callable[[str], str]) -> View:
        """Pass every text through ``change``."""

        def facts(items: Iterable[Fact]) -> tuple[Fact, ...]:
            return tuple(Fact(change(f.label), change(f.text), f.tone) for f in items)

        def cell(item: Cell) -> Cell:
            short = None if item.short is None else change(item.short)
            return replace(item, text=change(item.text), short=short)

        def row(item: Row) -> Row:
            return replace(item, label=change(item.label), cells=tuple(map(cell, item.cells)))

        seen = self.glance and replace(
            self.glance,
            title=change(self.glance.title),
            columns=tuple(map(change, self.glance.columns)),
            rows=tuple(map(row, self.glance.rows)),
            spreads=tuple(replace(each, name=change(each.name)) for each in self.glance.spreads),
        )
        return View(
            facts(self.facts),
            tuple(change(label) for label in self.columns),
            tuple(Section(change(s.title), tuple(map(row, s.rows))) for s in self.sections),
            facts(self.footer),
            seen,
            self.finding and replace(self.finding, text=change(self.finding.text)),
            facts(self.notes),
            tuple(
                Bars(
                    change(each.title),
                    tuple(
                        Bar(change(b.name), change(b.at), b.value, change(b.text))
                        for b in each.bars
                    ),
                )
                for each in self.curves
            ),
        )
