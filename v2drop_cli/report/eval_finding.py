"""The answer of an evaluation in one sentence: what is kept of dense's score."""

from __future__ import annotations

from v2drop_cli.records import DUMMY
from v2drop_cli.records.evaluation import BETTER, SAME, UNCLEAR, WORSE, ArmScores, Evaluation
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.wording import Said, Tone, listed, plural

MOST_NAMED = 3
_WORDS = {
    WORSE: "lost score",
    SAME: "as right as dense, within 2 %",
    BETTER: "gained score",
    UNCLEAR: "not shown to differ from dense",
}
_TONES: dict[str, Tone] = {WORSE: "bad", SAME: "good", BETTER: "good", UNCLEAR: "plain"}


def finding(found: Evaluation) -> Said:
    """The sentence and its tone."""
    start = "Partial: " if found.partial else ""
    dense, *others = found.arms
    if found.request.weights == DUMMY:
        return f"{start}Dummy weights: scores mean nothing.", "warn"
    if dense.score is None:
        return f"{start}{_fidelity(found)}", "plain"
    right = f"Dense scores {per_cent(dense.score.mean)} on {plural(found.rows, 'row')}"
    groups = [(verdict, _of(others, verdict)) for verdict in (WORSE, UNCLEAR, SAME, BETTER)]
    parts = [f"{_named(arms)}: {_WORDS[verdict]}" for verdict, arms in groups if arms]
    said = [verdict for verdict, arms in groups if arms]
    text = "; ".join((right, *parts))
    return f"{start}{text}.", _TONES[said[0]] if len(said) == 1 else "plain"


def per_cent(share: float) -> str:
    """One decimal: of a thousand questions one is 0.1 %.

    >>> per_cent(0.9).replace(GLUE, " ")
    '90.0 %'
    """
    return f"{100 * share:.1f}{GLUE}%"


def _of(arms: list[ArmScores], verdict: str) -> list[ArmScores]:
    return [arm for arm in arms if arm.against_dense and arm.against_dense.verdict == verdict]


def _named(arms: list[ArmScores]) -> str:
    """Each with what it kept; of many only the first."""
    shown = [f"{glued(clean(arm.label))} {_kept(arm)}" for arm in arms[:MOST_NAMED]]
    left = len(arms) - MOST_NAMED
    return listed([*shown, f"{left} more"] if left > 0 else shown)


def _kept(arm: ArmScores) -> str:
    against = arm.against_dense
    if against is None or against.retention is None:
        return ""
    return glued(f"({per_cent(against.retention)})")


def _fidelity(found: Evaluation) -> str:
    parts = [
        f"{glued(clean(arm.label))} gives dense's own answer in {arm.fidelity.equal} of "
        f"{arm.fidelity.rows}"
        for arm in found.arms[1:]
        if arm.fidelity is not None
    ]
    return f"{listed(parts) or 'Nothing was compared'}."
