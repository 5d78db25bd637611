"""The state of the GPU around rounds: a round that ran under a slowdown says nothing of a method.

Read between rounds, when the device is idle for a moment anyway; nothing is ever set.
"""

from __future__ import annotations

from v2drop_cli.measure.nvml import POWER_CAP_REASON, SLOWDOWN_REASONS, Nvml
from v2drop_cli.records import Caveat, CaveatKind, MachineState


def read_state(nvml: Nvml) -> MachineState:
    """What the driver says now; ``None`` for what it does not."""
    return MachineState(
        sm_clock_mhz=nvml.sm_clock_mhz(),
        power_w=nvml.power_w(),
        temperature_c=nvml.temperature_c(),
        event_reasons=nvml.event_reasons(),
        other_processes=nvml.other_processes(),
    )


class MachineWatch:
    """The states at the boundaries of rounds: one before the first, one after each."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self.states: list[MachineState] = [read_state(nvml)]
        self.slowed_rounds = 0

    def round_is_valid(self) -> bool:
        """Note the state after a round; whether no slowdown touched either end of it."""
        self.states.append(read_state(self._nvml))
        reasons = {reason for state in self.states[-2:] for reason in state.event_reasons or ()}
        slowed = bool(reasons & SLOWDOWN_REASONS)
        self.slowed_rounds += slowed
        return not slowed

    def caveats(self) -> tuple[Caveat, ...]:
        """What the reader of the timings must know of the machine."""
        seen = {reason for state in self.states for reason in state.event_reasons or ()}
        found = []
        if self.slowed_rounds:
            names = ", ".join(sorted(seen & SLOWDOWN_REASONS))
            found.append(CaveatKind.GPU_SLOWED.caveat(rounds=self.slowed_rounds, reasons=names))
        if POWER_CAP_REASON in seen:
            found.append(CaveatKind.GPU_POWER_CAP.caveat())
        others = max((state.other_processes or 0 for state in self.states), default=0)
        if others:
            found.append(CaveatKind.GPU_SHARED.caveat(others=others))
        return tuple(found)
