"""What a method gains over random selection of as many tokens: in words, and arm by arm.

Random selection drops as many tokens and looks at none of them. A method that is no faster than
random costs nothing to speak of; one that is slower pays for what it looks at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from v2drop_cli.records import RANDOM, ArmResult, Report
from v2drop_cli.records.verdicts import FASTER, SLOWER, UNCLEAR, WITHIN_NOISE
from v2drop_cli.report import wording
from v2drop_cli.report.claims import SPEEDUPS, claims
from v2drop_cli.report.terms import SPEEDUP
from v2drop_cli.report.text import clean, glued
from v2drop_cli.report.view import Cell, Fact, Row, claim_cell
from v2drop_cli.units import NOT_AVAILABLE

NAME = f"{RANDOM}{wording.MARK}"
TITLE = f"Speed-up over {NAME}"
_SAID_OF = ("prefill", "generate")
_WORDS = {
    FASTER: f"faster than {RANDOM}",
    WITHIN_NOISE: f"within noise of {RANDOM}",
    SLOWER: f"slower than {RANDOM}",
    UNCLEAR: f"not told apart from {RANDOM}",
}


def notes(report: Report) -> Iterator[Fact]:
    """One line for the prefill and one for the whole generation: which arm is what, by name."""
    names, label = _short_names(report), NAME
    for time in _SAID_OF:
        groups: dict[str, list[str]] = {words: [] for words in _WORDS}
        for found in report.random_comparisons:
            for claim in claims(found):
                if claim.name == time and claim.verdict and claim.verdict.verdict in groups:
                    groups[claim.verdict.verdict].append(glued(names[found.arm]))
        said = [f"{_WORDS[verdict]}: {', '.join(arms)}" for verdict, arms in groups.items() if arms]
        if said:
            yield Fact(label, f"in {time}, {'; '.join(said)}")
            label = ""


def rows(report: Report) -> Iterator[Row]:
    """One row a time, each arm against the random arm that keeps as many tokens as it does."""
    by_arm = {found.arm: claims(found) for found in report.random_comparisons}
    for at, row in enumerate(SPEEDUPS if by_arm else ()):
        cells = []
        for arm in report.arms:
            own = by_arm.get(arm.label)
            claim = own and own[at]
            cells.append(claim_cell(claim) if claim else _without(report, arm))
        yield Row(row.name, tuple(cells), SPEEDUP)


def _without(report: Report, arm: ArmResult) -> Cell:
    """What stands where nothing is held against random selection."""
    if arm.label in report.yardsticks:
        return Cell(wording.REFERENCE, "muted", filler=True)
    missing = arm.method not in (None, RANDOM)
    return Cell(NOT_AVAILABLE if missing else wording.NOTHING, "muted", filler=True)


def _short_names(report: Report) -> dict[str, str]:
    """Labels, without their schedules where the method says which arm it is."""
    starts = {arm.label: arm.label.split(" ")[0] for arm in report.arms}
    times = Counter(starts.values())
    return {label: clean(start if times[start] == 1 else label) for label, start in starts.items()}
