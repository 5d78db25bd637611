"""``v2drop compare``: report B against report A, arm by arm, and the gates on what changed.

    prefill:5%            no arm's prefill may be more than 5 % slower in B
    v2drop:answers:0%     not one token of the answer of arm v2drop may differ

A gate fails only when the whole interval lies beyond the share and beyond the noise floor of
both reports: a build must not fail for noise. It holds only when the numbers show that, else it
is undecided. A gate on what was not measured fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from v2drop_cli.changes import (
    DIFFERS,
    FAILED,
    HELD,
    SAME,
    UNDECIDED,
    ArmChanges,
    Change,
    Changes,
    Difference,
    GateResult,
    Source,
)
from v2drop_cli.errors import UsageError
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL, ArmResult, Report
from v2drop_cli.run.comparable import differences, warnings
from v2drop_cli.run.compare import first_divergence, token_agreement
from v2drop_cli.run.gate_grammar import Condition, Form, parse_conditions
from v2drop_cli.run.judge import METRICS, Ruler, gate_outcome, gate_result, judge

HINT = "write METRIC:SHARE, for example prefill:5% or v2drop:answers:0%"
ANYWAY_HINT = "--anyway compares all the same, and warns"
_ANSWERS = "answers"
_FORM = Form((*METRICS, _ANSWERS), HINT, changes=True)


def parse_change_gates(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Read all gates, before any file is opened."""
    return parse_conditions(texts, _FORM)


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
        gates=tuple(_result(gate, arms, dropping) for gate in gates),
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
        partial=protocol.partial if protocol else False,
    )


def _unmatched(report: Report, other: Report) -> tuple[str, ...]:
    labels = {arm.label for arm in other.arms}
    return tuple(arm.label for arm in report.arms if arm.label not in labels)


def _result(gate: Condition, arms: Sequence[ArmChanges], dropping: bool) -> GateResult:
    asked = [arm for arm in arms if gate.arm in (None, arm.label)]
    if gate.arm is None and all(arm.label == DENSE for arm in asked) and dropping:
        asked = []  # a gate that looks at dense alone holds for nothing that was meant
    if not asked:
        which = "but dense" if gate.arm is None else repr(gate.arm)
        return gate_result(gate.text, [(FAILED, f"there is no arm {which} in both reports")])
    return gate_result(gate.text, (_judged(gate, arm) for arm in asked))


def _judged(gate: Condition, arm: ArmChanges) -> tuple[str, str]:
    """The outcome for one arm, and what was measured of it."""
    if gate.metric == _ANSWERS:
        parted = 1 - arm.token_agreement
        outcome = FAILED if parted > gate.limit else HELD
        return outcome, f"{arm.label}: {parted:.3g} of the tokens differ"
    change = next((item for item in arm.changes if item.metric == gate.metric), None)
    if change is None or change.verdict is None:
        return FAILED, f"{arm.label}: {gate.metric} was not measured in both reports"
    return _change(gate, arm.label, change)


def _change(gate: Condition, label: str, change: Change) -> tuple[str, str]:
    most = 1 + gate.limit
    if change.unit == "s" and change.ci95 is None:
        takes = f"{FEWEST_FOR_INTERVAL} rounds or more in each"
        return UNDECIDED, f"{label}: {gate.metric} has no interval, which takes {takes}"
    if change.ratio is None:  # from nothing to something, or from nothing to nothing
        grown = (change.b or 0) > (change.a or 0)
        went = f"{label}: {gate.metric} went from {change.a} to {change.b}"
        return FAILED if grown else HELD, went
    interval = change.ci95 or (change.ratio, change.ratio)
    outcome = gate_outcome(lambda ratio: ratio > most, most, interval, change.noise)
    said = f"{label}: {gate.metric} is {change.ratio:.3f} times that of A"
    if change.ci95 is not None:
        said += f", 95 % interval {change.ci95[0]:.3f} to {change.ci95[1]:.3f}"
    if outcome == UNDECIDED and change.noise is not None:
        said += f", noise floor {change.noise[0]:.3f} to {change.noise[1]:.3f}"
    return outcome, said
