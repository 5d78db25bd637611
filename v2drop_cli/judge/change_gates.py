"""``--fail-if`` of ``v2drop compare``: how much worse B may be than A.

    prefill:5%            no arm's prefill may be more than 5 % slower in B
    v2drop:answers:0%     not one token of the answer of arm v2drop may differ

A gate fails only when the whole interval lies beyond the share and beyond the noise floor of
both reports: a build must not fail for noise. It holds only when the numbers show that, else it
is undecided. A gate on what was not measured is unmeasured, and never passes.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2drop_cli.judge.gate_grammar import Condition, Form, parse_conditions
from v2drop_cli.judge.ruler import gate_outcome, gate_result
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL
from v2drop_cli.records.changes import (
    FAILED,
    HELD,
    UNDECIDED,
    UNMEASURED,
    ArmChanges,
    Change,
    GateResult,
)
from v2drop_cli.records.metrics import METRICS, Kind, metric

HINT = "write METRIC:SHARE, for example prefill:5% or v2drop:answers:0%"
_ANSWERS = "answers"
NAMES = (*(row.name for row in METRICS if row.compared), _ANSWERS)
"""Everything that a gate of ``compare`` can be about."""
_FORM = Form(NAMES, HINT, changes=True)


def parse_change_gates(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Read all gates, before any file is opened."""
    return parse_conditions(texts, _FORM)


def judged_change(gate: Condition, arms: Sequence[ArmChanges], dropping: bool) -> GateResult:
    """One gate's outcome over the arms that it is about.

    Args:
        gate: the condition.
        arms: what changed in the arms that both reports have.
        dropping: whether either report has an arm that drops.
    """
    asked = [arm for arm in arms if gate.arm in (None, arm.label)]
    if gate.arm is None and all(arm.label == DENSE for arm in asked) and dropping:
        asked = []  # a gate that looks at dense alone holds for nothing that was meant
    if not asked:
        which = "but dense" if gate.arm is None else repr(gate.arm)
        return gate_result(gate.text, [(UNMEASURED, f"there is no arm {which} in both reports")])
    return gate_result(gate.text, (_judged(gate, arm) for arm in asked))


def _judged(gate: Condition, arm: ArmChanges) -> tuple[str, str]:
    """The outcome for one arm, and what was measured of it."""
    if gate.metric == _ANSWERS:
        parted = 1 - arm.token_agreement
        outcome = FAILED if parted > gate.limit else HELD
        return outcome, f"{arm.label}: {parted:.3g} of the tokens differ"
    change = next((item for item in arm.changes if item.metric == gate.metric), None)
    if change is None or change.verdict is None:
        return UNMEASURED, f"{arm.label}: {gate.metric} was not measured in both reports"
    return _change(gate, arm.label, change)


def _change(gate: Condition, label: str, change: Change) -> tuple[str, str]:
    most = 1 + gate.limit
    if metric(change.metric).kind is Kind.TIMED and change.ci95 is None:
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
