"""``--fail-if``: conditions on a report's ratios and counts under which a build must fail.

    prefill_speedup<1.2             any of the arms asked for; several go with commas
    random:token_agreement<0.5      the arm labelled random
    dense:vision_tokens!=144

A ratio is a measurement, so its gate fails only when the whole 95 % interval meets the
condition, and holds only when none of it does: a build must neither fail nor pass for noise. In
between it is undecided, as it is where the limit lies in the noise floor: see ``judge``. A gate on
what was not measured fails. Measured values never equal a number, so ``==`` and ``!=`` are for
exact ones.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

from v2drop_cli.errors import UsageError
from v2drop_cli.judge.gate_grammar import Condition, Form, parse_conditions
from v2drop_cli.judge.ruler import PEAK, Interval, gate_outcome, gate_result, noise_floors
from v2drop_cli.measure.stats import scaled
from v2drop_cli.methods.parameters import split
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL, ArmResult, Comparison, Ratio, Report
from v2drop_cli.records.changes import FAILED, UNDECIDED, GateResult

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
_COUNTS: dict[str, Callable[[ArmResult], Value]] = {
    "vision_tokens": lambda arm: arm.vision_tokens,
    "layer_average_vision_tokens": lambda arm: arm.layer_average_vision_tokens,
    "last_vision_tokens": lambda arm: arm.drops[-1].after if arm.drops else arm.vision_tokens,
    "prefill_flops": lambda arm: arm.limit.prefill_flops if arm.limit else None,
    "kv_cache_bytes": lambda arm: arm.memory.kv_cache_bytes,
    "peak_bytes": lambda arm: arm.memory.peak_bytes,
}
_COMPARED: dict[str, Callable[[Comparison], Value]] = {
    "prefill_speedup": lambda found: found.prefill_speedup,
    "decode_speedup": lambda found: found.decode_speedup,
    "generate_speedup": lambda found: found.generate_speedup,
    "peak_memory_ratio": lambda found: found.peak_memory_ratio,
    "kv_cache_ratio": lambda found: found.kv_cache_ratio,
    "ideal_prefill_speedup": lambda found: found.ideal_prefill_speedup,
    "realised_over_ideal": lambda found: _realised(found),
    "answers_identical": lambda found: float(found.answers_identical),
    "token_agreement": lambda found: found.token_agreement,
}
# What is measured, not counted. For a ratio to dense: the quantity that has its noise floor.
_MEASURED: dict[str, str | None] = {
    "prefill_speedup": "prefill",
    "decode_speedup": "decode",
    "generate_speedup": "generate",
    "realised_over_ideal": "prefill",
    "peak_memory_ratio": PEAK,
    "peak_bytes": None,
}
_EXACT = tuple(name for name in (*_COMPARED, *_COUNTS) if name not in _MEASURED)
_FORM = Form((*_COMPARED, *_COUNTS), HINT, changes=False)


def _realised(found: Comparison) -> Ratio | None:
    """As noisy as the speed-up it is made of, so with its interval: the ideal is a count."""
    speedup, ideal = found.prefill_speedup, found.ideal_prefill_speedup
    if speedup is None or not ideal:
        return None
    return scaled(speedup, 1 / ideal)


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
            return gate_result(self.text, [(FAILED, f"there is no arm {self.arm!r} to compare")])
        found = {item.arm: item for item in report.comparisons}
        judged = (self._judged(arm, found.get(arm.label), noise) for arm in arms)
        return gate_result(self.text, judged)

    def _arms(self, report: Report, asked_for: set[str]) -> list[ArmResult]:
        if self.arm is None:
            return [arm for arm in report.arms if arm.method in asked_for]
        labels = {item.label for item in report.arms}
        if self.metric in _COMPARED:
            labels &= {item.arm for item in report.comparisons}
        return [arm for arm in report.arms if arm.label == self.arm and arm.label in labels]

    def _judged(
        self, arm: ArmResult, comparison: Comparison | None, noise: Mapping[str, Interval]
    ) -> tuple[str, str]:
        """The outcome for one arm, and what was measured of it."""
        value = self._value(arm, comparison)
        if value is None:
            return FAILED, f"{arm.label}: {self.metric} was not measured"
        found = value if isinstance(value, Ratio) else Ratio(value, (value, value))
        if found.ci95 is None:
            takes = f"{FEWEST_FOR_INTERVAL} rounds or more"
            return UNDECIDED, f"{arm.label}: {self.metric} has no interval, which takes {takes}"
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
        if self.metric in _COUNTS:
            return _COUNTS[self.metric](arm)
        return None if comparison is None else _COMPARED[self.metric](comparison)

    def _floor(
        self, comparison: Comparison | None, noise: Mapping[str, Interval]
    ) -> Interval | None:
        """What dense against itself reaches, in the unit of this metric."""
        floor = noise.get(_MEASURED.get(self.metric) or "")
        if floor is None or comparison is None or self.metric != "realised_over_ideal":
            return floor
        ideal = comparison.ideal_prefill_speedup or 1.0
        return floor[0] / ideal, floor[1] / ideal


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
    if gate.arm == DENSE and gate.metric in _COMPARED:
        raise UsageError(
            f"the gate {gate.text!r} compares {DENSE} with itself",
            hint=f"{DENSE} has counts: {', '.join(_COUNTS)}",
        )
    if gate.sign in ("==", "!=") and gate.metric in _MEASURED:
        raise UsageError(
            f"the gate {gate.text!r} asks whether a measured value is exactly a number",
            hint=f"use < or >; {gate.sign} is for what is counted: {', '.join(_EXACT)}",
        )


def judged(
    gates: Sequence[Gate], report: Report, asked_for: Iterable[str]
) -> tuple[GateResult, ...]:
    """All gates' outcomes, in order."""
    methods = tuple(split(text)[0] for text in asked_for)
    noise = noise_floors(report) if any(gate.metric in _MEASURED for gate in gates) else {}
    return tuple(gate.check(report, methods, noise) for gate in gates)
