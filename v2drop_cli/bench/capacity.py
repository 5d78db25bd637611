"""What fits: the largest size of one arm in the memory there is, or that there is to be.

On a GPU the model runs at each size that the bisection asks about, under the limit, and a size
fits if it did not run out. On a CPU nothing stops a process before the system ends it, so there
the prediction from shapes decides, and a run at the size found checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.sizes import Sizes
from v2drop_cli.bench.what_fits import Largest, largest, tried
from v2drop_cli.errors import MediaArgumentError, ScheduleError
from v2drop_cli.measure.environment import total_memory
from v2drop_cli.measure.footprint import weights_bytes
from v2drop_cli.measure.memory import memory_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.devices import free_memory
from v2drop_cli.records.curves import (
    BY_PREDICTION,
    BY_TRYING,
    Capacity,
    Footprint,
    Point,
)
from v2drop_cli.units import Bytes, Seconds, format_bytes, format_seconds


@dataclass(slots=True)
class Room:
    """The memory that an arm may use.

    Attributes:
        device: whose memory.
        limit_bytes: of the device, or as asked for; ``None`` where it cannot be told.
        asked: whether it was asked for.
        predicts: whether the prediction has to keep to it: on a CPU.
    """

    device: torch.device
    limit_bytes: Bytes | None
    asked: bool
    predicts: bool
    _looked: Bytes | None = None

    @property
    def said(self) -> str:
        """The limit in words."""
        return f"{format_bytes(self.limit_bytes)} {'asked for' if self.asked else 'of the device'}"

    def refusal(self, needed: Footprint) -> str | None:
        """Why what is predicted may not be tried, or ``None``.

        A system that runs out of memory ends the process, and with it all that was measured: so
        what is free now counts as well as the limit.
        """
        if not self.predicts:
            return None
        if self.limit_bytes is not None and needed.total > self.limit_bytes:
            return f"predicted to need {format_bytes(needed.total)} of {self.said}"
        more, free = needed.kv_cache_bytes + needed.activation_bytes, free_memory(self.device)
        if free is not None and more > free:
            return f"predicted to need {format_bytes(more)} more, and {format_bytes(free)} are free"
        return None

    @property
    def unknown(self) -> bool:
        """Whether :meth:`look` is still to come."""
        return self.predicts and self._looked is None

    @property
    def process_bytes(self) -> Bytes:
        """What the process holds beside the weights; 0 on a GPU, and before it was looked at."""
        return self._looked or 0

    def look(self, model: Any) -> None:
        """Learn that, after the model has run: its libraries and its weights are there then."""
        meter = memory_for(self.device)
        meter.start()  # the peak since now is what is resident now
        resident = meter.finish(weights_bytes=None, kv_cache_bytes=None).rss_peak_bytes
        self._looked = max(0, (resident or 0) - weights_bytes(model))


@contextmanager
def limited(device: torch.device, asked: Bytes | None) -> Iterator[Room]:
    """The memory of ``device``; for the duration no more than ``asked``, where it can be held."""
    total = total_memory(device)
    room = Room(device, asked or total, asked is not None, predicts=device.type != "cuda")
    if room.predicts or asked is None or not total or asked >= total:
        yield room
        return
    torch.cuda.set_per_process_memory_fraction(asked / total, device)
    try:
        yield room
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched in.

    Attributes:
        most_s: a check by running that may take longer is left out.
    """

    sizes: Sizes
    nvml: Nvml
    room: Room
    most_s: Seconds

    def capacity(self, arm: Arm, done: Sequence[Point]) -> Capacity | None:
        """The largest size of ``arm``; ``None`` where nothing tells.

        Args:
            arm: which.
            done: the sizes that it was measured at, the smallest first.
        """
        limit = self.room.limit_bytes
        if limit is None:
            return None
        predicted = self._by_prediction(arm, limit)
        if self.room.predicts:
            return None if predicted is None else self._checked(arm, predicted, done, limit)
        start = done[-1].size if done else self.sizes.growing.sizes[0]
        peaks: dict[int, Bytes | None] = {p.size: p.peak_bytes for p in done}

        def fits(size: int) -> bool:
            if size not in peaks:
                ran, peaks[size] = self._run(arm, size)
                return ran
            return True

        found = self._largest(fits, start)
        peak = None if found.size is None else peaks[found.size]
        return Capacity(
            limit_bytes=limit,
            by=BY_TRYING,
            size=found.size,
            bytes=peak,
            next_size=found.next_size,
            most=self.sizes.growing.most,
            predicted_size=None if predicted is None else predicted.size,
            measured_bytes=peak,
            unchecked=None,
        )

    def _by_prediction(self, arm: Arm, limit: Bytes) -> Largest | None:
        """From shapes alone; ``None`` where these do not tell."""
        start = self.sizes.growing.sizes[0]
        if self._predicted(arm, start) is None:
            return None

        def fits(size: int) -> bool:
            needed = self._predicted(arm, size)
            return needed is not None and needed.total <= limit

        return self._largest(fits, start)

    def _largest(self, fits: Callable[[int], bool], start: int) -> Largest:
        """The largest size that fits, of those at which there is something to show and the arm.

        A model may take no video of one frame, or no picture that large; and no drops may come to
        a budget of a number of tokens, where a size has fewer of them, or far more.
        """
        missing: set[int] = set()

        def asked(size: int) -> bool:
            try:
                return fits(size)
            except (MediaArgumentError, ScheduleError):
                missing.add(size)
                return size < start

        found = largest(asked, start, self.sizes.growing.most)
        return replace(found, size=None) if found.size in missing else found

    def _predicted(self, arm: Arm, size: int) -> Footprint | None:
        return self.sizes.predicted(arm, size, self.room.process_bytes)

    def _checked(self, arm: Arm, found: Largest, done: Sequence[Point], limit: Bytes) -> Capacity:
        """What was predicted, and the peak of a run there if one can be afforded."""
        size, needed, peak, why = found.size, None, None, None
        if size is not None:
            needed = self._predicted(arm, size)
            known = [point for point in done if point.size == size]
            why = None if known else self._too_much(size, done, needed)
            if known:
                peak = known[0].peak_bytes
            elif why is None:
                ran, peak = self._run(arm, size)
                why = None if ran else "the device had no room for it"
        return Capacity(
            limit_bytes=limit,
            by=BY_PREDICTION,
            size=size,
            bytes=None if needed is None else needed.total,
            next_size=found.next_size,
            most=self.sizes.growing.most,
            predicted_size=size,
            measured_bytes=peak,
            unchecked=why,
        )

    def _too_much(self, size: int, done: Sequence[Point], needed: Footprint | None) -> str | None:
        """Why a run at ``size`` is left out, or ``None``: time grows at most as tokens squared."""
        refusal = None if needed is None else self.room.refusal(needed)
        if refusal is not None:
            return refusal
        last, row = done[-1] if done else None, self.sizes.row(size)
        if last is None or last.wall_s is None:
            return "no smaller size was timed"
        longer = row.length / last.prompt_tokens
        rows = self.sizes.growing.shown(size).rows / last.rows
        seconds = last.wall_s.median * rows * longer**2
        if seconds > self.most_s:
            return f"a run there may take {format_seconds(seconds)}, more than --max-time"
        return None

    def _run(self, arm: Arm, size: int) -> tuple[bool, Bytes | None]:
        """Whether one generation had room, and its peak where the device tells."""
        passes = Passes(self.sizes.subject(size), self.nvml)
        work = partial(passes.memory, self.sizes.arm(arm, size), self.sizes.new_tokens)
        memory = tried(work).value
        return memory is not None, None if memory is None else memory.peak_bytes
