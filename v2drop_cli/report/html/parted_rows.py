"""Some questions at which an arm parts from dense, with the answers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from v2drop_cli.records.evaluation import Evaluation
from v2drop_cli.records.journal import ArmAnswer, RowResult
from v2drop_cli.report.eval_finding import per_cent
from v2drop_cli.report.html.answer_cards import Shown, side_by_side
from v2drop_cli.report.html.markup import Child, Markup, tag
from v2drop_cli.report.text import clean
from v2drop_cli.report.wording import Said, listed

if TYPE_CHECKING:
    from v2drop_cli.tasks.rows import Row

MOST_ROWS = 6
MOST_CARDS = 6
"""Answers beside dense's: of twenty arms all of one row would be a page of its own."""
MOST_CHARACTERS = 600
"""Of one answer, and of one question."""


def parted_rows(found: Evaluation, results: Iterable[RowResult]) -> list[RowResult]:
    """Every row at which an arm's answer is not dense's; those gained or lost come first."""
    dense, *others = [arm.label for arm in found.arms]
    scored, worded = [], []
    for result in results:
        if result.broken is not None or result.row >= found.data.asked:
            continue
        reference = result.arms[dense]
        answers = [result.arms[label] for label in others]
        if any(one.score != reference.score for one in answers):
            scored.append(result)
        elif any(one.text != reference.text for one in answers):
            worded.append(result)
    return [*scored, *worded]


def parted_cards(
    found: Evaluation, parted: Sequence[RowResult], questions: Mapping[int, Row]
) -> Child:
    """The first of ``parted``; ``questions`` are those of these rows, as far as they are known."""
    if not parted:
        return None
    shown = parted[:MOST_ROWS]
    note = (
        f"{len(shown)} of the {len(parted)} rows at which an arm's answer is not dense's, those "
        "gained or lost first, in the order of the data. Not a sample to count in: the table above "
        "counts all rows."
    )
    rows = [_row(found, result, questions.get(result.row)) for result in shown]
    return [tag("p", note, class_="note"), tag("div", rows, class_="rows")]


def _row(found: Evaluation, result: RowResult, question: Row | None) -> Markup:
    dense, *others = [arm.label for arm in found.arms]
    reference = result.arms[dense]
    apart = [label for label in others if result.arms[label].text != reference.text]
    alike = [clean(label) for label in others if label not in apart]
    cards = [_shown(label, result.arms[label], reference) for label in apart[:MOST_CARDS]]
    left = len(apart) - MOST_CARDS
    more = f"{left} more arms answer otherwise" if left > 0 else None
    same = f"as dense: {listed(alike)}" if alike else None
    group = "" if result.group is None else f", {clean(result.group)}"
    first = _shown(dense, reference, reference)
    return tag(
        "article",
        tag("h3", f"Row {result.row}{group}"),
        _asked(question),
        side_by_side(first, cards),
        [tag("p", words, class_="note") for words in (more, same) if words],
        class_="parted",
    )


def _asked(question: Row | None) -> Child:
    if question is None:
        return None
    right = listed([clean(answer) for answer in dict.fromkeys(question.answers)])
    words = [_cut(question.prompt), *([f"right: {_cut(right)}"] if right else [])]
    return [tag("p", each, class_="asked") for each in words]


def _shown(label: str, answer: ArmAnswer, reference: ArmAnswer) -> Shown:
    return Shown(clean(label), _cut(answer.text), *_verdict(answer, reference))


def _verdict(answer: ArmAnswer, reference: ArmAnswer) -> Said:
    if answer.score is None or reference.score is None:
        return "", "muted"
    words = f"score {per_cent(answer.score)}"
    if answer.score == reference.score:
        return words, "muted"
    return (
        (f"gained: {words}", "good")
        if answer.score > reference.score
        else (f"lost: {words}", "bad")
    )


def _cut(text: str) -> str:
    """Safe to show, and no longer than a card."""
    shown = clean(text, lines=True)
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[:MOST_CHARACTERS]}…"
