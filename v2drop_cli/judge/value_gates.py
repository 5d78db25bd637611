"""``--fail-if``: conditions on a report's ratios and counts under which a build must fail.

    prefill_speedup<1.2             any of the arms asked for; several go with commas
    random:token_agreement<0.5      the arm labelled random
    dense:vision_tokens!=144

A ratio is a measurement, so its gate fails only when the whole 95 % interval meets the
condition, and holds only when none of it does: a build must neither fail nor pass for noise. In
between it is undecided, as it is where the limit lies in the noise floor: see ``judge/ruler.py``. A
gate on
what was not measured is unmeasured, and never passes. Measured values never equal a number, so
``==`` and ``!=`` are for exact ones.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from v2drop_cli.errors import UsageError
from v2drop_cli.judge.gate_grammar import Condition, Form, parse_conditions
from v2drop_cli.judge.naming import arm_called
from v2drop_cli.judge.ruler import Interval, gate_outcome, gate_result, noise_floors
from v2drop_cli.methods.registry import ALL, name_of
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL, ArmResult, Comparison, Ratio, Report
from v2drop_cli.records.changes import UNDECIDED, UNMEASURED, GateResult
from v2drop_cli.records.metrics import METRICS, PAIRS, Kind
from v2drop_cli.records.verdicts import NULL_OFF

HINT = "write METRIC<NUMBER, for example prefill_speedup<1.2 or random:token_agreement<0.5"

Value = Ratio | float | None
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
# Of an arm alone, by the name in a gate.
_OF_ARM = {row.gate: row for row in METRICS if row.gate is not None}
# Of an arm and the reference: the ratios of what both have, and what exists between them only.
_RATIOS = {row.against: row for row in METRICS if row.against is not None}
_PAIRS = {pair.name: pair for pair in PAIRS}
_KINDS: dict[str, Kind] = {
    **{name: row.kind for name, row in _RATIOS.items()},
    **{name: pair.kind for name, pair in _PAIRS.items()},
    **{name: row.kind for name, row in _OF_ARM.items()},
}
_EXACT = tuple(name for name, kind in _KINDS.items() if kind is Kind.COUNTED)

NAMES = tuple(_KINDS)
"""Everything that a gate of ``profile`` can be about."""
_FORM = Form(NAMES, HINT, changes=False)


class Gate(Condition):
    """One condition on a value of the report."""

    __slots__ = ()

    def check(
        self, report: Report, asked_for: Iterable[str], noise: Mapping[str, Interval]
    ) -> GateResult:
        """Judge it for every arm that it is about.

        Args:
            report: what was measured.
            asked_for: names of the methods whose arms a gate without an arm is about.
            noise: the report's noise floors.
        """
        arms = self._arms(report, set(asked_for))
        if not arms:
            none = f"there is no arm {self.arm!r} to compare"
            return gate_result(self.text, [(UNMEASURED, none)])
        found = {item.arm: item for item in report.comparisons}
        judged = (self._judged(arm, found.get(arm.label), noise) for arm in arms)
        return gate_result(self.text, judged)

    def _arms(self, report: Report, asked_for: set[str]) -> list[ArmResult]:
        if self.arm is None:
            return [arm for arm in report.arms if arm.method in asked_for]
        labels = {item.label for item in report.arms}
        if self.metric not in _OF_ARM:
            labels &= {item.arm for item in report.comparisons}
        return [arm for arm in report.arms if arm.label == self.arm and arm.label in labels]

    def _judged(
        self, arm: ArmResult, comparison: Comparison | None, noise: Mapping[str, Interval]
    ) -> tuple[str, str]:
        """The outcome for one arm, and what was measured of it."""
        value = self._value(arm, comparison)
        if value is None:
            return UNMEASURED, f"{arm.label}: {self.metric} was not measured"
        found = value if isinstance(value, Ratio) else Ratio(value, (value, value))
        if found.ci95 is None:
            takes = f"{FEWEST_FOR_INTERVAL} rounds or more"
            return UNDECIDED, f"{arm.label}: {self.metric} has no interval, which takes {takes}"
        if comparison is not None and self._is_off(comparison):
            return UNDECIDED, f"{arm.label}: dense against itself differs in {self.metric}"
        floor = self._floor(comparison, noise)
        compare = _OPERATORS[self.sign]
        outcome = gate_outcome(
            lambda number: compare(number, self.limit), self.limit, found.ci95, floor
        )
        said = f"{arm.label} has {value:.12g}" if value is not found else _figures(arm, found)
        if outcome == UNDECIDED and floor is not None:
            said += f", noise floor {floor[0]:.3f} to {floor[1]:.3f}"
        return outcome, said

    def _value(self, arm: ArmResult, comparison: Comparison | None) -> Value:
        if self.metric in _OF_ARM:
            return _OF_ARM[self.metric].of(arm)
        if comparison is None:
            return None
        if self.metric in _PAIRS:
            return _PAIRS[self.metric].of(comparison)
        return _RATIOS[self.metric].ratio(comparison)

    def _is_off(self, comparison: Comparison) -> bool:
        """Whether the null of this metric leaves 1, so that the report claims nothing of it."""
        pair = _PAIRS.get(self.metric)
        quantity = pair.floor if pair is not None else None
        names = (
            {self.metric} if pair is None else {r.against for r in METRICS if r.name == quantity}
        )
        return any(v.metric in names and v.reason == NULL_OFF for v in comparison.verdicts)

    def _floor(
        self, comparison: Comparison | None, noise: Mapping[str, Interval]
    ) -> Interval | None:
        """What dense against itself reaches, in the unit of this metric."""
        if self.metric in _RATIOS:
            return noise.get(_RATIOS[self.metric].name)
        pair = _PAIRS.get(self.metric)
        floor = noise.get(pair.floor) if pair is not None and pair.floor is not None else None
        if pair is None or floor is None or comparison is None:
            return None
        per = pair.per(comparison) or 1.0
        return floor[0] / per, floor[1] / per


def _figures(arm: ArmResult, found: Ratio) -> str:
    low, high = found.ci95 or (found.median, found.median)
    return f"{arm.label} has {found.median:.3f}, 95 % interval {low:.3f} to {high:.3f}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read all gates, before anything is measured.

    Raises:
        UsageError: no gate, or one that means nothing.
    """
    gates = tuple(
        Gate(found.text, found.arm, found.metric, found.sign, found.limit)
        for found in parse_conditions(texts, _FORM)
    )
    for gate in gates:
        _check(gate)
    return gates


def _check(gate: Gate) -> None:
    """Refuse what can never fail, or never hold, whatever is measured."""
    if gate.arm == DENSE and gate.metric not in _OF_ARM:
        raise UsageError(
            f"the gate {gate.text!r} compares {DENSE} with itself",
            hint=f"{DENSE} has counts: {', '.join(_OF_ARM)}",
        )
    if gate.sign in ("==", "!=") and gate.metric not in _EXACT:
        raise UsageError(
            f"the gate {gate.text!r} asks whether a measured value is exactly a number",
            hint=f"use < or >; {gate.sign} is for what is counted: {', '.join(_EXACT)}",
        )


def judged_gates(
    gates: Sequence[Gate], report: Report, asked_for: Iterable[str]
) -> tuple[GateResult, ...]:
    """All gates' outcomes, in order."""
    methods = {name_of(text) for text in asked_for}
    if ALL in methods:
        methods = {arm.method for arm in report.arms if arm.method is not None}
    noise = noise_floors(report) if any(gate.metric not in _EXACT for gate in gates) else {}
    return tuple(_named(gate, report).check(report, methods, noise) for gate in gates)


def _named(gate: Gate, report: Report) -> Gate:
    """The gate with the label of the arm that it means; as it is where there is no such arm."""
    arm = None if gate.arm is None else arm_called(gate.arm, report.arms)
    return gate if arm is None else replace(gate, arm=arm.label)
