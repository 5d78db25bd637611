"""``v2drop sweep``: the bench of ``profile`` at growing sizes; how each arm grows, and what fits.

An arm that has no room at a size ends there, with a row that says so; the others go on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.capacity import Room, Search, limited
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.sizes import Growing, Sizes
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.bench.what_fits import tried
from v2drop_cli.commands.profile import ProfileOptions, measured, request_of
from v2drop_cli.judge.throughput import throughput
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.growth import growth
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.methods.registry import ALL, get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import DENSE, INTERRUPTED, RUNNING, Caveat, CaveatKind, Report, Request
from v2drop_cli.records.curves import (
    AXES,
    BATCH_SIZE,
    ENDED,
    MEASURED,
    OUT_OF_MEMORY,
    OVER_LIMIT,
    Capacity,
    Curve,
    Point,
    Sweep,
    unfinished,
)

SIZES = "sizes"
WORDS = {"frames": "frames", "image_size": "pixels", "batch_size": "rows", "text_tokens": "tokens"}


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What to sweep; see ``v2drop sweep --help``.

    Attributes:
        each: what is measured at each size.
        growing: what grows.
        max_memory: bytes that there are to be; ``None``: the device's own.
    """

    each: ProfileOptions
    growing: Growing
    max_memory: int | None = None


def sweep(
    loaded: LoadedModel,
    options: SweepOptions,
    watch: Watch | None = None,
    on_size: Callable[[Sweep], None] | None = None,
) -> Sweep:
    """Measure the arms at every size, then search what fits.

    Ctrl-C once something was measured ends the measuring, not the report: it is marked partial.

    Args:
        loaded: the model.
        options: what to measure.
        watch: whom to tell how far it is.
        on_size: gets the report so far after each size.

    Raises:
        ScheduleError: a schedule does not fit the model or a size.
        KeyboardInterrupt: interrupted before anything was measured.
    """
    with Nvml(loaded.device) as nvml, limited(loaded.device, options.max_memory) as room:
        sweeping = _Sweeping(loaded, options, watch or Watch(), nvml, room)
        sweeping.sizes.check()
        stopped_by = sweeping.measure(on_size or (lambda sweep: None))
        return sweeping.document(stopped_by)


class _Sweeping:
    """One sweep under way.

    Attributes:
        points: of each arm, what there is so far.
        arms: the arms by label, as they were at the last size.
        ended: why an arm is not measured any more, by its label.
    """

    def __init__(
        self, loaded: LoadedModel, options: SweepOptions, watch: Watch, nvml: Nvml, room: Room
    ) -> None:
        each, growing = options.each, options.growing
        self.options, self.nvml, self.room = options, nvml, room
        # What is to be read at once is the same at every size, and told at the first.
        self.watch = replace(watch, tell=functools.cache(watch.tell), on_round=None)
        self.sizes = Sizes(
            loaded, growing, each.prompt, each.arms, each.most_new_tokens, each.decode
        )
        self.points: dict[str, list[Point]] = {}
        self.arms: dict[str, Arm] = {}
        self.ended: dict[str, str] = {}
        self.capacities: dict[str, Capacity | None] = {}
        self.environment = describe(loaded.device, nvml)
        self._request: Request | None = None
        self._said: dict[Caveat, list[int]] = {}

    def measure(self, on_size: Callable[[Sweep], None]) -> str:
        """Measure everything; return why it ended."""
        growing = self.options.growing
        try:
            for number, size in enumerate(growing.sizes):
                self.watch.check()
                what = f"{size} {WORDS[growing.dimension]}"
                where = f"{what} ({number + 1} of {len(growing.sizes)})"
                self.watch.on_progress(Progress(Phase.SIZES, what=where))
                if self._measure(size):
                    return INTERRUPTED
                on_size(self.document(RUNNING))
            for number, (label, arm) in enumerate(self.arms.items()):
                self.watch.check()
                self.watch.on_progress(Progress(Phase.FITTING, number, len(self.arms), what=label))
                self.capacities[label] = self._capacity(arm)
        except KeyboardInterrupt:
            if not self.points:
                raise
            return INTERRUPTED
        return SIZES

    def document(self, stopped_by: str) -> Sweep:
        """What there is so far."""
        options, growing = self.options, self.options.growing
        curves = tuple(self._curve(label) for label in self.arms)
        assert self._request is not None  # of the first size, before anything else of it
        return Sweep(
            environment=self.environment,
            request=self._request,
            dimension=growing.dimension,
            sizes=growing.sizes,
            axis=AXES[growing.dimension],
            max_memory_bytes=options.max_memory,
            precision=options.each.stop.precision,
            max_time_s=options.each.stop.max_time_s,
            curves=curves,
            throughput=throughput(curves) if growing.dimension == BATCH_SIZE else (),
            stopped_by=stopped_by,
            partial=unfinished(stopped_by),
            warnings=tuple(self._warnings()),
        )

    def _curve(self, label: str) -> Curve:
        points, axis = self.points[label], AXES[self.options.growing.dimension]
        done = [point for point in points if point.measured]
        return Curve(
            label,
            self.arms[label].method,
            tuple(points),
            growth(done, axis, self.room.process_bytes),
            self.capacities.get(label),
        )

    # One size ----------------------------------------------------------------------------------

    def _measure(self, size: int) -> bool:
        """Measure at one size; whether it was interrupted, with something to show all the same."""
        passes = Passes(self.sizes.subject(size), self.nvml)
        if self._request is None:
            self._request = replace(request_of(passes, self.options.each), spans=None)
        arms = [arm for arm in self._lined_up(passes, size) if self._has_room(arm, passes, size)]
        if not arms:
            return False
        report = self._rounds(passes, arms, size)
        if report is None:
            return False
        if report.rounds == 0:
            raise KeyboardInterrupt
        for caveat in report.warnings:
            self._said.setdefault(caveat, []).append(size)
        for label, point in _points(report, size, passes):
            predicted = self.sizes.predicted(self.arms[label], size, self.room.process_bytes)
            self._put(label, replace(point, predicted=predicted))
        return report.partial

    def _lined_up(self, passes: Passes, size: int) -> list[Arm]:
        """The arms at this size; one whose budget is met by prefills may find no room for these."""
        asked = self.options.each.arms
        found = tried(partial(line_up, asked, passes, self.watch))
        arms = found.value or [Arm(DENSE)]
        for text in asked.methods if found.value is None else ():
            alone = tried(partial(line_up, replace(asked, methods=(text,)), passes, self.watch))
            arms += (alone.value or [])[1:]
            if alone.value is None:
                for arm in self._named(text, size):
                    self.arms.setdefault(arm.label, arm)
                    self._end(arm.label, size, OUT_OF_MEMORY, alone.out_of_memory or "", passes)
        for arm in arms:
            self.arms[arm.label] = arm
        return arms

    def _named(self, text: str, size: int) -> list[Arm]:
        """The arms of a method that found no room before they were lined up."""
        if text == ALL:
            return [arm for arm in self.arms.values() if arm.method is not None]
        tokens = self.sizes.row(size).vision_tokens
        return self.sizes.arms.of(get_method(text), self.sizes.loaded, tokens)

    def _has_room(self, arm: Arm, passes: Passes, size: int) -> bool:
        """Whether the arm can be measured; else its row says why it cannot."""
        if arm.label in self.ended:
            self._end(arm.label, size, ENDED, self.ended[arm.label], passes)
            return False
        refusal = self._refusal(arm, size)
        if refusal is None and self.room.unknown:
            passes.prefill(Arm(DENSE))
            self.room.look(passes.loaded.model)
            refusal = self._refusal(arm, size)
        if refusal is not None:
            self._end(arm.label, size, OVER_LIMIT, refusal, passes)
            return False
        if self.room.predicts:
            return True
        done = tried(partial(passes.memory, arm, self.sizes.new_tokens))
        if done.value is None:
            self._end(arm.label, size, OUT_OF_MEMORY, done.out_of_memory or "", passes)
        return done.value is not None

    def _refusal(self, arm: Arm, size: int) -> str | None:
        """Why nothing is tried at ``size``; on a GPU the device itself will say."""
        needed = self.sizes.predicted(arm, size, self.room.process_bytes)
        return None if needed is None else self.room.refusal(needed)

    def _rounds(self, passes: Passes, arms: list[Arm], size: int) -> Report | None:
        """The rounds; an arm that found room alone may find none beside recorded graphs."""
        while arms:
            done = tried(partial(measured, passes, arms, self.options.each, self.watch))
            if done.value is not None:
                return done.value
            # Which of them it was cannot be told; the dense arm needs the most, and comes first.
            worst, *arms = arms
            self._end(worst.label, size, OUT_OF_MEMORY, done.out_of_memory or "", passes)
        return None

    def _end(self, label: str, size: int, outcome: str, said: str, passes: Passes) -> None:
        """Give the arm a row without numbers, and measure it no more."""
        words = WORDS[self.options.growing.dimension]
        self.ended.setdefault(label, f"had no room at {size} {words}")
        row = _bare(size, passes)
        predicted = self.sizes.predicted(self.arms[label], size, self.room.process_bytes)
        self._put(label, replace(row, outcome=outcome, message=said, predicted=predicted))

    def _put(self, label: str, point: Point) -> None:
        self.points.setdefault(label, []).append(point)

    # After the sizes ---------------------------------------------------------------------------

    def _capacity(self, arm: Arm) -> Capacity | None:
        done = [point for point in self.points.get(arm.label, ()) if point.measured]
        search = Search(self.sizes, self.nvml, self.room, self.options.each.stop.max_time_s)
        return search.capacity(arm, done)

    def _warnings(self) -> Iterator[Caveat]:
        """Of some sizes only: with these in front."""
        words = WORDS[self.options.growing.dimension]
        sizes = {size for found in self._said.values() for size in found}
        for caveat, found in self._said.items():
            if len(found) == len(sizes):
                yield caveat
            else:
                side = f"at {', '.join(map(str, found))} {words}"
                kind = CaveatKind.OF_ONE_REPORT
                yield kind.caveat(code=caveat.code, side=side, message=caveat.message)


def _points(report: Report, size: int, passes: Passes) -> Iterator[tuple[str, Point]]:
    """A row per arm of one size, each with the arm's label."""
    comparisons = {found.arm: found for found in report.comparisons}
    rows = passes.subject.batch_size
    for arm in report.arms:
        decode, wall = arm.timing.decode_s_per_token, arm.timing.wall_s
        yield (
            arm.label,
            replace(
                _bare(size, passes),
                outcome=MEASURED,
                layer_average_vision_tokens=arm.layer_average_vision_tokens / rows,
                rounds=report.rounds,
                vision_s=arm.timing.vision_s,
                prefill_s=arm.timing.prefill_s,
                decode_s_per_token=decode,
                generate_s=arm.timing.generate_s,
                wall_s=wall,
                tokens_per_s=rows / decode.median if decode and decode.median else None,
                requests_per_s=rows / wall.median if wall and wall.median else None,
                memory=arm.memory,
                limit=arm.limit,
                comparison=comparisons.get(arm.label),
            ),
        )


def _bare(size: int, passes: Passes) -> Point:
    """A row without numbers yet."""
    return Point(
        size=size,
        outcome=ENDED,
        message=None,
        rows=passes.subject.batch_size,
        prompt_tokens=int(passes.inputs.tensors["input_ids"].shape[1]),
        vision_tokens=passes.vision_tokens,
    )
