"""``v2drop compare``: report B against report A, arm by arm, and the gates on what changed."""

from __future__ import annotations

from collections.abc import Iterable

from v2drop_cli.bench.comparison import first_divergence, token_agreement
from v2drop_cli.errors import UsageError
from v2drop_cli.judge.change_gates import judged_change
from v2drop_cli.judge.change_verdicts import Ruler, judge
from v2drop_cli.judge.comparable import differences, warnings
from v2drop_cli.judge.gate_grammar import Condition
from v2drop_cli.records import DENSE, ArmResult, Report
from v2drop_cli.records.changes import DIFFERS, ArmChanges, Changes, Difference, Source
from v2drop_cli.records.verdicts import SAME

ANYWAY_HINT = "--anyway compares all the same, and warns"


def compare_reports(
    a: tuple[str, Report], b: tuple[str, Report], margin: float, gates: Iterable[Condition]
) -> Changes:
    """Judge B against A.

    Args:
        a: where the first report was read from, and the report.
        b: the second.
        margin: share by which two medians may differ and still count as the same.
        gates: conditions on the changes.

    Raises:
        UsageError: they have no arm in common.
    """
    before, after = a[1], b[1]
    ruler = Ruler.of(before, after, margin)
    arms = tuple(
        _changes(ours, theirs, ruler)
        for ours in before.arms
        for theirs in after.arms
        if ours.label == theirs.label
    )
    if not arms:
        hint = "arms are matched by label: profile the same methods and schedules"
        raise UsageError("the reports have no arm in common", hint=hint)
    dropping = any(arm.label != DENSE for report in (before, after) for arm in report.arms)
    return Changes(
        a=_source(*a),
        b=_source(*b),
        margin=margin,
        differences=differences(before, after),
        arms=arms,
        only_in_a=_unmatched(before, after),
        only_in_b=_unmatched(after, before),
        gates=tuple(judged_change(gate, arms, dropping) for gate in gates),
        warnings=tuple(warnings(before, after)),
    )


def refuse(found: Iterable[Difference]) -> None:
    """Stop at what makes two reports incomparable.

    Raises:
        UsageError: naming every such difference.
    """
    said = [f"{item.name} ({item.a} / {item.b})" for item in found if item.refused]
    if said:
        raise UsageError(
            f"A and B cannot be compared, they differ in {', '.join(said)}", hint=ANYWAY_HINT
        )


def _changes(a: ArmResult, b: ArmResult, ruler: Ruler) -> ArmChanges:
    before, after = a.answer.token_ids, b.answer.token_ids
    return ArmChanges(
        label=a.label,
        answers=SAME if before == after else DIFFERS,
        token_agreement=token_agreement(before, after),
        first_divergence=first_divergence(before, after),
        changes=judge(a, b, ruler),
    )


def _source(path: str, report: Report) -> Source:
    environment, request, protocol = report.environment, report.request, report.protocol

    def known(name: str) -> str | None:
        value = environment.get(name)
        return value if isinstance(value, str) else None

    return Source(
        path=path,
        date=known("date"),
        v2drop=known("v2drop"),
        commit=known("commit"),
        model=request.model,
        device=request.device,
        rounds=protocol.rounds if protocol else None,
        partial=report.partial,
    )


def _unmatched(report: Report, other: Report) -> tuple[str, ...]:
    labels = {arm.label for arm in other.arms}
    return tuple(arm.label for arm in report.arms if arm.label not in labels)
