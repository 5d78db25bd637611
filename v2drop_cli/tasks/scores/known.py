"""Which metrics there are, and what each needs of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.tasks.rows import Data, Row
from v2drop_cli.tasks.scores.anls import anls
from v2drop_cli.tasks.scores.exact_match import exact_match
from v2drop_cli.tasks.scores.multiple_choice import multiple_choice
from v2drop_cli.tasks.scores.relaxed_accuracy import relaxed_accuracy
from v2drop_cli.tasks.scores.vqa_accuracy import vqa_accuracy
from v2drop_cli.tasks.scores.yes_no import is_yes_or_no, yes_no, yes_no_details


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to score answers.

    Attributes:
        name: as ``--metric`` takes it.
        source: where its definition comes from.
        score: of one answer to one row, from 0 to 1.
        graded: whether there are scores between 0 and 1.
        details: what else is told of all answers: pairs of what was said and what is right.
    """

    name: str
    source: str
    score: Callable[[str, Row], float]
    graded: bool = False
    details: Callable[[Iterable[tuple[str, str]]], dict[str, float]] = lambda pairs: {}


def _open(score: Callable[[str, Sequence[str]], float]) -> Callable[[str, Row], float]:
    return lambda answer, row: score(answer, row.answers)


def _choice(answer: str, row: Row) -> float:
    if not row.choices:
        raise UsageError(f"row {row.number} has no choices", hint="another --metric")
    return max(multiple_choice(answer, right, row.choices) for right in row.answers)


def _claim(answer: str, row: Row) -> float:
    if not is_yes_or_no(row.answers[0]):
        raise UsageError(
            f"the right answer {row.answers[0][:40]!r} is neither yes nor no",
            hint="another --metric",
        )
    return yes_no(answer, row.answers)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("exact_match", "GQA, as Hugging Face evaluate has it", _open(exact_match)),
        Metric("vqa", "visualqa.org/evaluation", _open(vqa_accuracy), graded=True),
        Metric("multiple_choice", "MMMU, arXiv 2311.16502", _choice),
        Metric("yes_no", "POPE, arXiv 2305.10355", _claim, details=yes_no_details),
        Metric("relaxed", "ChartQA, arXiv 2203.10244", _open(relaxed_accuracy)),
        Metric("anls", "DocVQA, arXiv 1905.13648", _open(anls), graded=True),
    )
}


def metric_of(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    return METRICS[name]


def metric_for(data: Data, name: str | None, fidelity: bool) -> Metric | None:
    """The metric of that name, or of the data; ``None`` where only fidelity can be looked at.

    Raises:
        UnknownNameError: there is none of that name.
        UsageError: the data cannot be scored by it.
    """
    if name is None and fidelity and not data.labelled:
        return None
    metric = metric_of(name or data.metric)
    if not data.labelled:
        hint = "--fidelity compares with dense, without answers"
        raise UsageError(
            f"{data.name} has rows without answers, so there is nothing to score",
            hint=hint if data.told is None else f"{hint}. {data.told}",
        )
    if metric.name == "multiple_choice" != data.metric:
        raise UsageError(f"{data.name} has rows without choices", hint="another --metric")
    return metric
