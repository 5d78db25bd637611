"""Clocks: where the stages of one answer begin and end, on the timeline of the device.

A mark is cheap and never waits for the device, so it may sit inside a timed region; the
clock waits exactly twice, in ``start`` (work of earlier trials is not counted) and in
``finish`` (work still queued is).

    clock = clock_for(device)
    clock.start()
    clock.mark("prefill_start")
    ...
    clock.mark("prefill_end")
    prefill_s = clock.finish().between("prefill_start", "prefill_end")
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import torch

from v2drop_cli.errors import DeviceError
from v2drop_cli.units import Seconds

T = TypeVar("T")

_NS_PER_S = 1e9
_MS_PER_S = 1e3


class UnknownMarkError(KeyError):
    """A mark that was never set in this trial: a bug in the caller, not in what was asked."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        listing = ", ".join(dict.fromkeys(known)) or "none"
        self._message = f"no mark {name!r} was set; marks set: {listing}"
        super().__init__(self._message)

    def __str__(self) -> str:
        # KeyError prints the repr of its argument, which buries a sentence in quotes.
        return self._message


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one trial, resolved.

    Attributes:
        times_s: name and time of every mark in the order they were set, in seconds on the
            device's timeline; only differences mean something.
        wall_s: seconds on the host from ``start`` until the device had nothing left to do.
        waited_s: of these, the last ones, in which the host had nothing left to launch and only
            waited; ``None`` where work is done when the call returns.

    """

    times_s: tuple[tuple[str, Seconds], ...]
    wall_s: Seconds
    waited_s: Seconds | None = None

    def __contains__(self, name: object) -> bool:
        return any(name == known for known, _ in self.times_s)

    def between(self, first: str, second: str) -> Seconds:
        """Seconds from one mark to another, on the device's timeline.

        Raises:
            UnknownMarkError: one of the two was never set.
            ValueError: one of the two was set several times, so "between" is ambiguous.

        """
        return self._only(second) - self._only(first)

    def total(self, first: str, second: str) -> Seconds:
        """Seconds of all ``first`` to ``second`` spans together, for a stage that repeats.

        Raises:
            UnknownMarkError: one of the two was never set.
            ValueError: the two were not set equally often.

        """
        begins, ends = self._all(first), self._all(second)
        if len(begins) != len(ends):
            raise ValueError(
                f"mark {first!r} was set {len(begins)} times, {second!r} {len(ends)} times"
            )
        return sum(end - begin for begin, end in zip(begins, ends, strict=True))

    def _all(self, name: str) -> list[Seconds]:
        times = [time_s for known, time_s in self.times_s if known == name]
        if not times:
            raise UnknownMarkError(name, (known for known, _ in self.times_s))
        return times

    def _only(self, name: str) -> Seconds:
        times = self._all(name)
        if len(times) > 1:
            raise ValueError(f"mark {name!r} was set {len(times)} times; use total()")
        return times[0]


class Clock(Protocol):
    """What times one trial: ``start``, any number of marks, ``finish``."""

    def start(self) -> None:
        """Forget earlier marks and wait until the device is idle."""
        ...

    def mark(self, name: str) -> None:
        """Note "now" on the device's timeline. Cheap; never waits."""
        ...

    def finish(self) -> Marks:
        """Wait once for the device and resolve the marks.

        Raises:
            RuntimeError: ``start`` was not called since the last ``finish``.

        """
        ...


class CpuClock:
    """Host time, for a device whose work is done when the call returns."""

    def __init__(self) -> None:
        self._marks: list[tuple[str, int]] = []
        self._started_ns: int | None = None

    def start(self) -> None:
        """Forget earlier marks."""
        self._marks.clear()
        self._started_ns = time.perf_counter_ns()

    def mark(self, name: str) -> None:
        """Note the host's time."""
        self._marks.append((name, time.perf_counter_ns()))

    def finish(self) -> Marks:
        """Resolve the marks, in seconds from ``start``.

        Raises:
            RuntimeError: ``start`` was not called since the last ``finish``.

        """
        ended_ns = time.perf_counter_ns()
        started_ns, self._started_ns = _running(self._started_ns), None
        times = tuple((name, (at_ns - started_ns) / _NS_PER_S) for name, at_ns in self._marks)
        return Marks(times, (ended_ns - started_ns) / _NS_PER_S)


class CudaClock:
    """CUDA events on the current stream of one device.

    Args:
        device: the CUDA device whose streams carry the work.
        pool: events made ahead of the first trial; more are made, and kept, when needed.

    """

    def __init__(self, device: torch.device, *, pool: int = 64) -> None:
        self._device = device
        self._names: list[str] = []
        self._events = [_new_event() for _ in range(pool)]
        self._started_s: float | None = None
        # CUDA makes an event on its first record, on the device of that stream: pay for it here.
        for event in self._events:
            event.record(torch.cuda.current_stream(device))

    def start(self) -> None:
        """Forget earlier marks and wait for the device, so that earlier work is not counted."""
        self._names.clear()
        torch.cuda.synchronize(self._device)
        self._started_s = time.perf_counter()

    def mark(self, name: str) -> None:
        """Record an event on the device's current stream."""
        if len(self._names) == len(self._events):
            self._events.append(_new_event())
        self._events[len(self._names)].record(torch.cuda.current_stream(self._device))
        self._names.append(name)

    def finish(self) -> Marks:
        """Wait for the device and resolve the marks, in seconds from the first mark.

        Raises:
            RuntimeError: ``start`` was not called since the last ``finish``.

        """
        started_s, self._started_s = _running(self._started_s), None
        launched_s = time.perf_counter()
        torch.cuda.synchronize(self._device)
        ended_s = time.perf_counter()
        times = tuple(zip(self._names, self._seconds(), strict=True))
        return Marks(times, ended_s - started_s, ended_s - launched_s)

    def _seconds(self) -> list[Seconds]:
        used = self._events[: len(self._names)]
        times = [0.0] if used else []
        # Step by step: elapsed_time is a float32 of milliseconds, too coarse from one far origin.
        for before, after in pairwise(used):
            times.append(times[-1] + before.elapsed_time(after) / _MS_PER_S)
        return times


class FakeClock:
    """A clock that is told the time, for tests that want exact statistics.

    Args:
        times: seconds; each mark takes the next, across trials. ``wall_s`` of a trial is the
            last of its marks less the first.

    """

    def __init__(self, times: Iterable[Seconds]) -> None:
        self._times: Iterator[Seconds] = iter(times)
        self._marks: list[tuple[str, Seconds]] = []
        self._running: bool | None = None

    def start(self) -> None:
        """Forget earlier marks; the times go on."""
        self._marks.clear()
        self._running = True

    def mark(self, name: str) -> None:
        """Take the next time.

        Raises:
            RuntimeError: the times are used up.

        """
        try:
            self._marks.append((name, next(self._times)))
        except StopIteration:
            raise RuntimeError(f"the fake clock has no time left for mark {name!r}") from None

    def finish(self) -> Marks:
        """Resolve the marks.

        Raises:
            RuntimeError: ``start`` was not called since the last ``finish``.

        """
        _running(self._running)
        self._running = None
        wall_s = self._marks[-1][1] - self._marks[0][1] if self._marks else 0.0
        return Marks(tuple(self._marks), wall_s)


def clock_for(device: torch.device) -> Clock:
    """Return the clock that tells this device's time.

    Raises:
        DeviceError: a device that works asynchronously in a way no clock here follows.

    """
    if device.type == "cuda":
        return CudaClock(device)
    if device.type == "cpu":
        return CpuClock()
    raise DeviceError(
        f"cannot time work on device {str(device)!r}", hint="use --device cuda or --device cpu"
    )


def _new_event() -> Any:
    event: Any = torch.cuda.Event  # untyped in torch
    return event(enable_timing=True)


def _running(started: T | None) -> T:
    if started is None:
        raise RuntimeError("finish() without start()")
    return started
