"""``v2drop profile``: the same comparison as ``run``, measured until the numbers can be quoted.

Every round holds each arm once, in random order, the next round in reverse; beside the arms
asked for run a second dense arm (the A/A null: what this machine shows where nothing differs)
and random selection (all of the dropping, none of the scoring). Rounds go on until every
prefill ratio is known precisely enough, or time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.comparison import compare, scoring_overheads
from v2drop_cli.bench.passes import Passes, Subject, Watch, timing_of
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.errors import unknown_name
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.energy import idle_power
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.machine import MachineWatch
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.stats import median_interval, medians_only, paired_ratio
from v2drop_cli.measure.trials import run_blocks
from v2drop_cli.media import Media, decode_again
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import DENSE, EAGER, ArmResult, Protocol, Ratio, Report, Request

RANDOM = "random"
MANY_ROUNDS = 10
LOOK_EVERY = 10
"""After each look at the precision, a tenth more rounds before the next."""
REST = 9
"""Times as long as a report with intervals took: reports until then go without them."""
MOST_INVALID = 0.2
"""With a larger share of invalid rounds the whole measurement is invalid."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """How many rounds there were: valid ones, and ones that the machine spoiled."""

    valid: int
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class StopRule:
    """When enough was measured.

    Attributes:
        repeats: rounds to take at least, whatever the time; ``None`` for at least ``MANY_ROUNDS``
            unless time is over before.
        precision: then until the half-width of every prefill ratio's interval is at most this
            share of the ratio,
        max_time_s: or until this many seconds of rounds, warm-up included.
    """

    repeats: int | None = None
    precision: float = 0.01
    max_time_s: float = 60.0

    @property
    def least(self) -> int:
        """Rounds below which no precision is believed."""
        return MANY_ROUNDS if self.repeats is None else self.repeats

    @property
    def owed(self) -> int:
        """Rounds to take whatever the time."""
        return 1 if self.repeats is None else self.repeats

    def reason(self, rounds: Rounds, reached: float | None, elapsed_s: float) -> str | None:
        """Why to stop now, or ``None`` to go on. Invalid rounds are no reason to go on for ever."""
        precise = reached is not None and reached <= self.precision
        if rounds.valid >= self.least and precise:
            return "precision"
        over = elapsed_s >= self.max_time_s
        return "time" if over and rounds.valid + rounds.invalid >= self.owed else None


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """What to profile; see ``v2drop profile --help``."""

    prompt: str
    model_name: str
    arms: ArmOptions
    stop: StopRule = field(default_factory=StopRule)
    with_random: bool = True
    max_new_tokens: int = 64
    new_tokens: int = 16
    warmup: int = 2
    batch_size: int = 1
    synthetic: SyntheticInput | None = None
    decode: str = EAGER
    labels: tuple[str, ...] = ()


def profile(
    loaded: LoadedModel,
    media: Sequence[Media],
    options: ProfileOptions,
    watch: Watch | None = None,
) -> Report:
    """Measure the arms on one prompt.

    Ctrl-C after the first round ends the measuring, not the report: it is marked partial.

    Raises:
        ScheduleError: a schedule does not fit the model or the prompt.
        UsageError: this device cannot decode in the way asked for.
        DeviceMemoryError: the device ran out of memory.
        KeyboardInterrupt: interrupted before there was anything to report.
    """
    with Nvml(loaded.device) as nvml:
        subject = Subject(
            loaded,
            media,
            options.prompt,
            options.batch_size,
            synthetic=options.synthetic,
            decode=options.decode,
        )
        passes = Passes(subject, nvml)
        methods = options.arms.methods
        if options.with_random and RANDOM not in methods:
            methods = (*methods, RANDOM)
        arms = replace(options.arms, methods=methods).resolve(loaded, passes.vision_tokens)
        _check_labels(options.labels, [arm.label for arm in arms])
        return _Profile(passes, arms, options, watch or Watch()).report()


def _check_labels(asked: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse a gate about an arm that will not be, before anything is measured."""
    for label in asked:
        if label not in labels:
            raise unknown_name("arm", label, labels)


class _Profile:
    """The passes of one profile, and the report they add up to.

    ``arms[1]`` is the null, a second dense arm; it is measured like any other.
    """

    def __init__(
        self, passes: Passes, arms: list[Arm], options: ProfileOptions, watch: Watch
    ) -> None:
        self.passes, self.options, self.watch = passes, options, watch
        self.arms = [arms[0], Arm(DENSE), *arms[1:]]
        self.environment = describe(passes.loaded.device, passes.nvml)
        self.results: list[ArmResult] = []
        self.rounds: list[list[StageTimes]] = []
        self.machine: MachineWatch | None = None
        self.idle_power_w: float | None = None
        self.began = 0.0
        self.next_look = options.stop.least
        self.next_intervals = 0.0

    @property
    def on_gpu(self) -> bool:
        """Whether there is a machine state to read at all."""
        return self.passes.loaded.device.type == "cuda"

    def report(self) -> Report:
        """Run all passes."""
        if self.on_gpu:
            self.watch.on_stage("idle power", 0, 0)
            self.idle_power_w = idle_power(self.passes.nvml)
        self.results = [self._untimed(number, arm) for number, arm in enumerate(self.arms)]
        # Loads scipy now: an interrupt in the middle of that import would spoil the report.
        median_interval([1.0, 2.0, 4.0], fewest=1)
        stopped_by = self._measure()
        self.watch.on_stage("intervals", 0, 0)
        return self._assemble(stopped_by)

    def _untimed(self, number: int, arm: Arm) -> ArmResult:
        options, total = self.options, len(self.arms)
        self.watch.on_stage("answers and memory", number, total)
        result = self.passes.answer(arm, options.max_new_tokens)
        return replace(
            result,
            memory=self.passes.memory(arm, options.new_tokens),
            limit=self.passes.limit(arm),
            energy_j=self.passes.energy(arm, options.new_tokens) if self.on_gpu else None,
        )

    def _measure(self) -> str:
        """Take rounds until there is a reason to stop; return it."""
        clock = clock_for(self.passes.loaded.device)
        self.machine = MachineWatch(self.passes.nvml) if self.on_gpu else None
        self.began = time.monotonic()

        def trial(arm: Arm) -> Callable[[], StageTimes]:
            return lambda: self.passes.time(arm, clock, self.options.new_tokens)

        try:
            for block in run_blocks(
                [trial(arm) for arm in self.arms],
                repeats=None,
                warmup=self._warmup,
                seed=self.options.arms.seed,
                on_progress=self._tell,
            ):
                self._take(block)
                counts = Rounds(len(self.rounds), self._invalid())
                reason = self.options.stop.reason(counts, self._look(), self._elapsed())
                if reason is not None:
                    return reason
                self._publish()
        except KeyboardInterrupt:
            if not self.rounds:
                raise
        return "interrupted"

    def _publish(self) -> None:
        """Hand out the report so far, if anyone wants it; intervals in a tenth of the time."""
        if self.watch.on_round is None or not self.rounds:
            return
        began = time.monotonic()
        with_intervals = began >= self.next_intervals
        self.watch.on_round(self._assemble("running", with_intervals))
        if with_intervals:
            now = time.monotonic()
            self.next_intervals = now + REST * (now - began)

    def _take(self, block: list[StageTimes]) -> None:
        """Keep a round, unless the machine was slowed down before or after it."""
        if self.machine is None or self.machine.round_is_valid():
            media_s = self._decode_media()
            self.rounds.append([replace(times, media_s=media_s) for times in block])

    def _invalid(self) -> int:
        return 0 if self.machine is None else self.machine.slowed_rounds

    def _decode_media(self) -> float | None:
        """Seconds to decode the files; once a round, for dropping has no part in it."""
        if not self.passes.subject.media:
            return None
        began = time.perf_counter()
        for item in self.passes.subject.media:
            decode_again(item)
        return time.perf_counter() - began

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _tell(self, done: int, _: int) -> None:
        self.watch.check()
        left = max(0.0, self.options.stop.max_time_s - self._elapsed())
        rounds, least = len(self.rounds), self.options.stop.least
        what = f"round {rounds + 1}, at least {least}" if rounds < least else f"round {rounds + 1}"
        self.watch.on_stage(f"timing: {what}, {left:.0f} s left", done, 0)

    def _samples(self, arm: int) -> list[StageTimes]:
        return [block[arm] for block in self.rounds]

    @property
    def _warmup(self) -> int:
        """Recording empties the allocator's cache: what comes right after it does not count."""
        return max(self.options.warmup, 1 if self.options.decode != EAGER else 0)

    def _look(self) -> float | None:
        """The precision so far, if it is time to look: bootstraps can take longer than rounds."""
        rounds = len(self.rounds)
        if rounds < self.next_look:
            return None
        self.next_look = rounds + max(1, rounds // LOOK_EVERY)
        return self._reached_precision()

    def _reached_precision(self) -> float | None:
        """The widest half-width of the prefill ratios, as a share; ``None`` if one is unknown."""
        series = [[times.prefill_s for times in self._samples(n)] for n in range(len(self.arms))]
        return _widest([paired_ratio(series[0], other) for other in series[1:]])

    def _assemble(self, stopped_by: str, intervals: bool = True) -> Report:
        # While running, intervals of everything would take longer than the next round.
        brief = stopped_by == "running" or not self.rounds
        statistics = medians_only if brief else None
        dense, null, *others = (
            replace(
                result,
                timing=timing_of(self._samples(number), statistics),
                capture_s=self.passes.capture_s(self.arms[number]),
            )
            for number, result in enumerate(self.results)
        )
        comparisons = [compare(dense, arm, intervals=intervals) for arm in (null, *others)]
        protocol = Protocol(
            rounds=len(self.rounds),
            invalid_rounds=self._invalid(),
            machine=tuple(self.machine.states) if self.machine else (),
            idle_power_w=self.idle_power_w,
            stopped_by=stopped_by,
            partial=stopped_by in ("running", "interrupted"),
            precision=self.options.stop.precision,
            reached_precision=_widest([found.prefill_speedup for found in comparisons]),
            max_time_s=self.options.stop.max_time_s,
            elapsed_s=self._elapsed(),
            null_timing=null.timing,
            scoring_overheads=scoring_overheads(dense, others, RANDOM, intervals=intervals),
        )
        report = Report(
            environment=self.environment,
            request=self._request(),
            arms=(dense, *others),
            comparisons=tuple(comparisons[1:]),
            null_comparison=comparisons[0],
            warnings=(*self.passes.caveats(), *(self.machine.caveats() if self.machine else ())),
            protocol=protocol,
        )
        return judged(report)

    def _request(self) -> Request:
        options = self.options
        return Request(
            model=options.model_name,
            seed=options.arms.seed,
            max_new_tokens=options.max_new_tokens,
            repeats=options.stop.repeats,
            warmup=self._warmup,
            timed_new_tokens=options.new_tokens,
            **self.passes.described(),
        )


def invalid(protocol: Protocol | None) -> str | None:
    """Why the measurement as a whole is not to be used, or ``None``."""
    if protocol is None:
        return None
    taken = protocol.rounds + protocol.invalid_rounds
    if not taken or protocol.invalid_rounds <= MOST_INVALID * taken:
        return None
    return f"the GPU was slowed down in {protocol.invalid_rounds} of {taken} rounds"


def _widest(ratios: Sequence[Ratio | None]) -> float | None:
    shares = [
        None if r is None or r.ci95 is None else (r.ci95[1] - r.ci95[0]) / 2 / r.median
        for r in ratios
    ]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None
