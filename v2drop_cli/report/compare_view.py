"""What ``v2drop compare`` says, as the same kind of view as a report: one section per arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from v2drop_cli.records.changes import (
    DIFFERS,
    FAILED,
    HELD,
    UNDECIDED,
    UNMEASURED,
    ArmChanges,
    Change,
    Changes,
    Source,
)
from v2drop_cli.records.metrics import METRICS
from v2drop_cli.report.claims import TONES
from v2drop_cli.report.compare_finding import finding, is_change
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.view import Cell, Fact, Row, Section, View
from v2drop_cli.report.wording import Tone, percent, plural
from v2drop_cli.units import NOT_AVAILABLE, format_ratio, format_value

_LABELS = {row.name: row.label for row in METRICS if row.compared}
_GATE_TONES: dict[str, Tone] = {HELD: "plain", FAILED: "bad", UNDECIDED: "warn", UNMEASURED: "bad"}


def build_changes_view(found: Changes, *, quiet: bool = False) -> View:
    """Put ``found`` into words; ``quiet`` keeps the sentence, what changed, and what warns."""
    sections = tuple(Section(clean(arm.label), tuple(_rows(arm, quiet))) for arm in found.arms)
    sections = tuple(section for section in sections if section.rows)
    sides = (
        Fact("A", _source(found.a)),
        Fact("B", _source(found.b)),
        Fact("model", f"{clean(found.b.model)}, {clean(found.b.device)}"),
    )
    return View(
        facts=() if quiet else sides,
        columns=("A", "B", f"B{GLUE}/{GLUE}A", "verdict") if sections else (),
        sections=sections,
        footer=tuple(_footer(found, quiet)),
        finding=Cell(*finding(found, _LABELS)),
    )


def summarised_changes(found: Changes) -> Changes:
    """``found`` with its finding in one sentence."""
    text, _ = finding(found, _LABELS)
    return replace(found, summary=text.replace(GLUE, " "))


def _source(source: Source) -> str:
    code = clean(source.v2drop or NOT_AVAILABLE)
    if source.commit:
        dirty = "-dirty" if source.commit.endswith("-dirty") else ""
        code += f" ({clean(source.commit.removesuffix('-dirty'))[:12]}{dirty})"
    rounds = "" if source.rounds is None else f", {plural(source.rounds, 'round')}"
    partial = ", partial" if source.partial else ""
    date = clean(source.date or NOT_AVAILABLE)
    return f"{clean(source.path)}: {date}, v2drop{GLUE}{code}{glued(rounds)}{partial}"


def _rows(arm: ArmChanges, quiet: bool) -> Iterator[Row]:
    for change in arm.changes:
        if quiet and not is_change(change):
            continue
        said = Cell(change.verdict or NOT_AVAILABLE, TONES.get(change.verdict, "plain"))
        values = (
            Cell(glued(format_value(change.unit, value)), value=value)
            for value in (change.a, change.b)
        )
        label = _LABELS.get(change.metric, change.metric)
        ratio = Cell(ratio_words(change), value=change.ratio)
        about = change.metric if change.metric in _LABELS else None
        yield Row(label, (*values, ratio, said), about)
    if quiet and arm.answers != DIFFERS:
        return
    filler = Cell("-", "muted", filler=True)
    agree = Cell(f"{glued(percent(arm.token_agreement))} agree")
    tone: Tone = "bad" if arm.answers == DIFFERS else "muted"
    cells = (filler, filler, agree, Cell(arm.answers, tone))
    yield Row("answers", cells, "token_agreement")


def ratio_words(change: Change) -> str:
    """Three decimals: margins are of a few percent."""
    if change.ratio is None:
        return NOT_AVAILABLE
    text = f"{change.ratio:.3f}x"
    if change.ci95 is None:
        return text
    return f"{text} {glued(f'[{change.ci95[0]:.3f}, {change.ci95[1]:.3f}]')}"


def _footer(found: Changes, quiet: bool) -> Iterator[Fact]:
    if not quiet:
        yield Fact("reading", _reading(found))
        yield Fact("noise floor", _noise(found))
    for side, labels in (("A", found.only_in_a), ("B", found.only_in_b)):
        if labels:
            yield Fact(f"only in {side}", ", ".join(map(clean, labels)), "warn")
    for item in found.differences:
        a, b = (clean(text or "unknown") for text in (item.a, item.b))
        said = f"both {a}" if a == b else f"{a} in A, {b} in B"
        refused = " (not comparable)" if item.refused else ""
        yield Fact("warning", f"{clean(item.name)}: {said}{refused}", "warn")
    for caveat in found.warnings:
        yield Fact("warning", clean(caveat.message), "warn")
    for gate in found.gates:
        said = "" if gate.message is None else f": {clean(gate.message)}"
        yield Fact(f"gate {gate.outcome}", f"{clean(gate.text)}{said}", _GATE_TONES[gate.outcome])


def _reading(found: Changes) -> str:
    most = format_ratio(1 + found.margin).removesuffix("x")
    return (
        f"B{GLUE}/{GLUE}A below 1: B takes less; [low,{GLUE}high] spans the 95{GLUE}% interval of "
        f"two unpaired sets of rounds; same: all of it within a factor of {most}; faster or "
        "slower: all of it beyond that and beyond the noise floor; else unclear"
    )


def _noise(found: Changes) -> str:
    """The nulls belong to the reports, so that any arm tells them."""
    known = [c for c in found.arms[0].changes if c.noise is not None]
    parts = [
        f"{_LABELS.get(c.metric, c.metric)}{GLUE}{glued(f'±{percent(c.noise[1] - 1)}')}"
        for c in known
        if c.noise is not None
    ]
    return f"dense against itself inside A or B: {', '.join(parts) or NOT_AVAILABLE}"
