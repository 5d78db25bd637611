"""When to fail a build."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import OUTPUT, Looks, again, option
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.judge.gate_grammar import Condition
    from v2drop_cli.judge.value_gates import Gate


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Gates on the values of one report."""

    fail_if: tuple[str, ...] = option(
        (),
        Looks(
            "--fail-if",
            'Leave with 3 if so, e.g. "prefill_speedup<1.2"; repeatable.',
            OUTPUT,
            "GATE",
        ),
    )
    strict: bool = option(
        False,
        Looks(
            "--strict", "Leave with 5 if a gate is undecided: measured too roughly to say.", OUTPUT
        ),
    )

    def gates(self) -> tuple[Gate, ...]:
        """The gates, read.

        Raises:
            UsageError: one that means nothing, or ``--strict`` without any.
        """
        from v2drop_cli.judge.value_gates import parse_gates

        gates = parse_gates(self.fail_if)
        _check_strict(self.strict, gates)
        return gates


@dataclass(frozen=True, slots=True)
class ChangeGateOptions:
    """Gates on how far one report is from another."""

    fail_if: tuple[str, ...] = again(
        GateOptions,
        "fail_if",
        metavar="GATES",
        help='Leave with 3 if B is so much worse, e.g. "prefill:5%,peak_memory:2%"; repeatable.',
    )
    strict: bool = again(GateOptions, "strict")

    def gates(self) -> tuple[Condition, ...]:
        """The gates, read.

        Raises:
            UsageError: one that means nothing, or ``--strict`` without any.
        """
        from v2drop_cli.judge.change_gates import parse_change_gates

        gates = parse_change_gates(self.fail_if)
        _check_strict(self.strict, gates)
        return gates


def _check_strict(strict: bool, gates: Sized) -> None:
    """Refuse ``--strict`` without a gate: such a build could never fail."""
    if strict and not gates:
        raise UsageError("--strict is about gates, and there is none", hint="give --fail-if GATE")
