"""Energy of one request, from the GPU's own counter.

The counter ticks about every 100 ms, so a request is repeated until a window is long enough
for the ticks not to matter. Idle power is in it: it is what the wall pays.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.units import Joules, Seconds

WINDOW_S: Seconds = 2.0
_SETTLE_S: Seconds = 1.0


def energy_of(
    request: Callable[[], None],
    nvml: Nvml,
    wait: Callable[[], None],
    *,
    now: Callable[[], Seconds] = time.monotonic,
) -> Joules | None:
    """Joules of one ``request``, averaged over a window of :data:`WINDOW_S` or more.

    Args:
        request: queues the work of one request.
        nvml: the device's.
        wait: returns once the device has nothing left to do.
        now: a clock in seconds.

    Returns:
        ``None`` where there is no counter.
    """
    wait()
    before = nvml.total_energy_j()
    if before is None:
        return None
    began, done = now(), 0
    while not done or now() - began < WINDOW_S:
        request()
        wait()
        done += 1
    after = nvml.total_energy_j()
    return None if after is None else (after - before) / done


def idle_power(nvml: Nvml, *, sleep: Callable[[Seconds], None] = time.sleep) -> float | None:
    """Watts with the model loaded and nothing to do; ``None`` where that cannot be told."""
    if nvml.power_w() is None:
        return None
    sleep(_SETTLE_S)  # most GPUs report the average of the last second
    return nvml.power_w()
