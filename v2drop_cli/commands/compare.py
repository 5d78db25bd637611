"""``v2drop compare``: report B against report A, arm by arm, and the gates on what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from v2drop_cli.bench.comparison import first_divergence, token_agreement
from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.judge.change_gates import judged_change
from v2drop_cli.judge.change_verdicts import Ruler, judge
from v2drop_cli.judge.comparable import differences, warnings
from v2drop_cli.judge.gate_grammar import Condition
from v2drop_cli.judge.naming import arm_called, matched
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
        UsageError: they have no arm in common, or a gate names none or several.
    """
    before, after = a[1], b[1]
    ruler = Ruler.of(before, after, margin)
    pairs = matched(before.arms, after.arms)
    if not pairs:
        hint = "arms match by method, parameters and schedule: profile the same ones"
        raise UsageError("the reports have no arm in common", hint=hint)
    conditions = [_named(gate, pairs, before, after) for gate in gates]
    arms = tuple(_changes(ours, theirs, ruler) for ours, theirs in pairs)
    dropping = any(arm.label != DENSE for report in (before, after) for arm in report.arms)
    return Changes(
        a=_source(*a),
        b=_source(*b),
        margin=margin,
        differences=differences(before, after),
        arms=arms,
        only_in_a=_others(before, [ours for ours, _ in pairs]),
        only_in_b=_others(after, [theirs for _, theirs in pairs]),
        gates=tuple(judged_change(gate, arms, dropping) for gate in conditions),
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
        label=b.label,
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


def _others(report: Report, common: Sequence[ArmResult]) -> tuple[str, ...]:
    return tuple(arm.label for arm in report.arms if all(arm is not other for other in common))


def _named(
    gate: Condition, pairs: Sequence[tuple[ArmResult, ArmResult]], a: Report, b: Report
) -> Condition:
    """The gate with the label of the arm that it means; as it is where the two have no such arm.

    Raises:
        UnknownNameError: neither report has such an arm.
        UsageError: one of them has several.
    """
    if gate.arm is None:
        return gate
    ours, theirs = arm_called(gate.arm, a.arms), arm_called(gate.arm, b.arms)
    if ours is None and theirs is None:
        raise unknown_name("arm", gate.arm, dict.fromkeys(arm.label for arm in a.arms + b.arms))
    both = any(one is ours and other is theirs for one, other in pairs)
    return replace(gate, arm=theirs.label) if both and theirs else gate
