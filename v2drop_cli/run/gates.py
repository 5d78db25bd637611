"""``--fail-if``: conditions on a report's ratios and counts under which a build must fail.

    prefill_speedup<1.2             any of the arms asked for; several go with commas
    random:token_agreement<0.5      the arm labelled random
    dense:vision_tokens!=144

A ratio is a measurement, so its gate fails only when the whole 95 % interval meets the
condition: a build must not fail for noise. A gate on what was not measured fails.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence

from v2drop_cli.errors import UsageError
from v2drop_cli.measure.stats import scaled
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL, ArmResult, Comparison, Ratio, Report
from v2drop_cli.run.gate_grammar import Condition, Form, parse_conditions

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

    def check(self, report: Report, asked_for: Iterable[str]) -> list[str]:
        """Say in one line per arm why the gate fails; nothing if it holds.

        Args:
            report: what was measured.
            asked_for: methods whose arms a gate without an arm is about.
        """
        arms = self._arms(report, set(asked_for))
        if not arms:
            return [f"{self.text}: there is no arm {self.arm!r} to compare"]
        found = {item.arm: item for item in report.comparisons}
        said = (self._failure(arm, found.get(arm.label)) for arm in arms)
        return [line for line in said if line is not None]

    def _arms(self, report: Report, asked_for: set[str]) -> list[ArmResult]:
        if self.arm is None:
            return [arm for arm in report.arms if arm.method in asked_for]
        labels = {item.label for item in report.arms}
        if self.metric in _COMPARED:
            labels &= {item.arm for item in report.comparisons}
        return [arm for arm in report.arms if arm.label == self.arm and arm.label in labels]

    def _failure(self, arm: ArmResult, comparison: Comparison | None) -> str | None:
        if self.metric in _COUNTS:
            value = _COUNTS[self.metric](arm)
        else:
            value = None if comparison is None else _COMPARED[self.metric](comparison)
        meets = _OPERATORS[self.sign]
        where = f"{self.text}: {arm.label}"
        if value is None:
            return f"{where}: {self.metric} was not measured"
        if not isinstance(value, Ratio):
            return f"{where} has {value:.12g}" if meets(value, self.limit) else None
        if value.ci95 is None:
            takes = f"{FEWEST_FOR_INTERVAL} rounds or more"
            return f"{where}: {self.metric} has no interval, which takes {takes}"
        low, high = value.ci95
        if not all(meets(bound, self.limit) for bound in value.ci95):
            return None
        return f"{where} has {value.median:.3f}, 95 % interval {low:.3f} to {high:.3f}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read all gates, before anything is measured."""
    gates = tuple(
        Gate(found.text, found.arm, found.metric, found.sign, found.limit)
        for found in parse_conditions(texts, _FORM)
    )
    for gate in gates:
        if gate.arm == DENSE and gate.metric in _COMPARED:
            raise UsageError(
                f"the gate {gate.text!r} compares {DENSE} with itself",
                hint=f"{DENSE} has counts: {', '.join(_COUNTS)}",
            )
    return gates


def failures(gates: Iterable[Gate], report: Report, asked_for: Iterable[str]) -> list[str]:
    """All gates' failures, in order."""
    methods = tuple(asked_for)
    return [line for gate in gates for line in gate.check(report, methods)]
