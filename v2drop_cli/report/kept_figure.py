"""Which vision tokens stayed, as a figure: sheets with cells, and panels that light some of them.

The figure is made of a report alone and holds no pixels. Where the cells are is said once, in the
sheets; a panel only says which of them are alive. :mod:`~v2drop_cli.report.kept_layout` says where
on paper everything goes, and ``kept_svg``, ``kept_png`` and ``kept_terminal`` draw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from v2drop_cli.errors import UsageError
from v2drop_cli.records import ArmResult, Drop, MediaRecord, Report, Span
from v2drop_cli.report.kept_sheets import Place, Sheet, sheets_of

MOST_TOKENS, MOST_PICTURES = 2**20, 2**12
"""A figure of more of them shows nobody anything."""
Ranks = Mapping[int, Mapping[int, float]]
"""Layer of a drop → prompt position → what the method thought of it, from 0 to 1."""
Scores = Mapping[str, Ranks]
"""The same for arms, by their labels."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A cell that took others in at this drop.

    Attributes:
        into: the cell that stayed.
        sources: those that went into it.
    """

    into: Place
    sources: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """What is alive after one drop.

    Attributes:
        title: which drop, and how many tokens of how many stayed.
        kept: per sheet and cell, whether its token is alive.
        scores: per sheet and cell, the method's score from 0 (lowest) to 1 (highest), ``None`` for
            a token that was not scored; ``None`` where no score was recorded.
        merges: what was merged at this drop.
        without_place: tokens alive that lie nowhere over the pixels, and how many there were.
    """

    title: str
    kept: tuple[tuple[bool, ...], ...]
    scores: tuple[tuple[float | None, ...], ...] | None = None
    merges: tuple[Merge, ...] = ()
    without_place: tuple[int, int] = (0, 0)

    @property
    def alive(self) -> int:
        """Tokens that stay."""
        return sum(map(sum, self.kept)) + self.without_place[0]


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One arm: all tokens first, then a panel for each drop."""

    label: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class KeptFigure:
    """The whole figure.

    Attributes:
        title: what was shown to which model.
        sheets: every picture and frame, with the cells on it.
        rows: one an arm.
        legend: what its colours mean.
        notes: what else who looks at it must know.
    """

    title: str
    sheets: tuple[Sheet, ...]
    rows: tuple[FigureRow, ...]
    legend: str
    notes: tuple[str, ...] = ()


def kept_figure(
    report: Report, notes: Sequence[str] = (), scores: Scores | None = None
) -> KeptFigure:
    """The figure of a report's first batch row.

    Args:
        report: one that says where its vision tokens lie.
        notes: further notes, of whoever looked for the media.
        scores: for a heat map, where they were asked for.

    Raises:
        UsageError: it does not say so, or nothing was dropped in it, or it is too much to draw.
    """
    spans, media = report.request.spans, report.request.media
    if not spans:
        raise UsageError(
            "this report does not say where its vision tokens lie over the pixels",
            hint="measure again with this version, on a model that v2drop models lists",
        )
    _check_size(spans)
    dropped = [arm for arm in report.arms if arm.drops]
    if not dropped:
        raise UsageError(
            "no arm of this report dropped anything: there is nothing to draw",
            hint="give a report with a --method beside dense",
        )
    sheets = sheets_of(spans, media)
    board = _Board(sheets, _positions(spans))
    rows = tuple(
        FigureRow(arm.label, tuple(board.panels(arm, (scores or {}).get(arm.label, {}))))
        for arm in dropped
    )
    names = ", ".join(_name(record) for record in media)
    title = f"{report.request.model} \N{MIDDLE DOT} {names}"
    return KeptFigure(title, sheets, rows, _legend(sheets, rows), (*_lacking(sheets), *notes))


def _check_size(spans: Sequence[Span]) -> None:
    """Refuse what would be drawn for hours: a short file may say that there are a billion cells."""
    tokens = sum(n for span in spans for _, n in span.runs)
    steps = sum(span.grid.t for span in spans)
    for count, most, what in ((tokens, MOST_TOKENS, "tokens"), (steps, MOST_PICTURES, "pictures")):
        if count > most:
            raise UsageError(
                f"this report has {count} {what} to draw, more than {most}",
                hint="measure fewer frames or smaller pictures",
            )


def _name(record: MediaRecord) -> str:
    if record.path is None:
        return f"made-up {record.kind}"
    return PurePath(record.path.replace("\\", "/")).name


def _legend(sheets: Sequence[Sheet], rows: Sequence[FigureRow]) -> str:
    words = ["dark: dropped"]
    if any(sheet.unseen for sheet in sheets):
        words.append("pale: cut off before the model saw it")
    panels = [panel for row in rows for panel in row.panels]
    if any(panel.merges for panel in panels):
        words.append("orange lines: from a token to the one that it was merged into")
    if any(panel.scores for panel in panels):
        words.append("red: the higher the method ranked a token at that drop, the stronger")
    return "; ".join(words)


def _lacking(sheets: Sequence[Sheet]) -> Iterator[str]:
    if any(not sheet.placed for sheet in sheets):
        yield (
            "where some tokens lie in the picture itself is not known: they are drawn over the "
            "picture as it was processed, on grey"
        )


def _positions(spans: Iterable[Span]) -> tuple[int, ...]:
    return tuple(
        position for span in spans for first, n in span.runs for position in range(first, first + n)
    )


@dataclass(frozen=True, slots=True)
class _Board:
    """The cells that panels light.

    Attributes:
        sheets: with the prompt position of each cell.
        positions: of all vision tokens, also those without a place.
    """

    sheets: Sequence[Sheet]
    positions: Sequence[int]

    def panels(self, arm: ArmResult, ranks: Ranks) -> Iterator[Panel]:
        """All tokens, then what each drop left, over the scores of that drop."""
        alive = set(self.positions)
        places = self._places()
        yield self._panel(f"all {len(alive)} tokens", alive)
        for drop in arm.drops:
            before, alive = len(alive), set(drop.kept[0] if drop.kept else ())
            title = f"layer {drop.layer}: {len(alive)} of {before}"
            panel = self._panel(title, alive, tuple(_merges(drop, places)))
            yield replace(panel, scores=self._heat(ranks.get(drop.layer)))

    def _panel(self, title: str, alive: set[int], merges: tuple[Merge, ...] = ()) -> Panel:
        kept = tuple(tuple(at in alive for at in sheet.positions) for sheet in self.sheets)
        placed = {at for sheet in self.sheets for at in sheet.positions}
        homeless = [at for at in self.positions if at not in placed]
        stayed = sum(at in alive for at in homeless)
        return Panel(title, kept, None, merges, (stayed, len(homeless)))

    def _heat(
        self, ranks: Mapping[int, float] | None
    ) -> tuple[tuple[float | None, ...], ...] | None:
        if ranks is None:
            return None
        return tuple(tuple(ranks.get(at) for at in sheet.positions) for sheet in self.sheets)

    def _places(self) -> dict[int, Place]:
        return {
            position: (number, cell)
            for number, sheet in enumerate(self.sheets)
            for cell, position in enumerate(sheet.positions)
        }


def _merges(drop: Drop, places: Mapping[int, Place]) -> Iterator[Merge]:
    if drop.sources is None or not drop.kept:
        return
    for position, sources in zip(drop.kept[0], drop.sources[0], strict=True):
        found = tuple(places[source] for source in sources if source in places)
        if found and position in places:
            yield Merge(places[position], found)
