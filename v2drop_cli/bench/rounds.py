"""The one measuring loop: answers, memory, then rounds of all arms until there is enough.

``run`` and ``profile`` differ in how much they measure (:class:`Work`), in when they stop
(:mod:`v2drop_cli.bench.stopping`) and in what their report says; the order of things is here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.explain import movements
from v2drop_cli.bench.passes import Passes, timing_of
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.bench.stopping import Rounds, Stop, half_width
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.energy import idle_power
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.machine import MachineWatch
from v2drop_cli.measure.stats import median_interval, medians_only, paired_ratio
from v2drop_cli.measure.trials import Place, run_rounds
from v2drop_cli.media import decode_again
from v2drop_cli.models.splitting import agreed
from v2drop_cli.records import INTERRUPTED, RUNNING, ArmResult, Report
from v2drop_cli.units import Seconds

LOOK_EVERY = 10
"""After each look at the precision, a tenth more rounds before the next."""
REST = 9
"""Pause between two drafts with intervals, as a multiple of what one takes; a tenth of the time."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much is measured of each arm.

    Attributes:
        answer_tokens: the longest answer.
        timed_tokens: tokens of each timed generation, always all of them.
        warmup: untimed rounds before the timed ones.
        seed: of the order of the arms.
        thorough: for figures to be quoted: also energy, the least work that the shapes allow,
            and the state of a GPU between the rounds.
        explain: also how tokens moved before each drop, in a pass of its own.
    """

    answer_tokens: int
    timed_tokens: int
    warmup: int
    seed: int = 0
    thorough: bool = False
    explain: bool = False


Assemble = Callable[[str, bool], Report]
"""Makes the report so far: why the rounds ended (or ``running``), and whether with intervals."""


class Bench:
    """Every arm of one prompt measured; ``arms[0]`` is the one that the others are compared with.

    Attributes:
        rounds: the valid rounds so far, each with the times of every arm, in the order of ``arms``.
        machine: the GPU's state between the rounds; ``None`` on a CPU, and if not ``thorough``.
    """

    def __init__(self, passes: Passes, arms: Sequence[Arm], work: Work, watch: Watch) -> None:
        self.passes, self.arms, self.work, self.watch = passes, arms, work, watch
        self.environment = describe(passes.loaded.device, passes.nvml)
        self.rounds: list[list[StageTimes]] = []
        self.machine: MachineWatch | None = None
        self.idle_power_w: float | None = None
        self._untimed: list[ArmResult] = []
        self._round_began: list[Seconds] = []
        self._began = 0.0
        self._next_look = 0
        self._next_intervals = 0.0

    @property
    def watches_gpu(self) -> bool:
        """Whether there is a machine state to read, and anyone wants it."""
        return self.work.thorough and self.passes.loaded.device.type == "cuda"

    @property
    def elapsed_s(self) -> Seconds:
        """Since the first warm-up round began."""
        return time.monotonic() - self._began

    @property
    def count(self) -> Rounds:
        """How many rounds there were so far."""
        return Rounds(len(self.rounds), 0 if self.machine is None else self.machine.slowed_rounds)

    def measure(self, stop: Stop, assemble: Assemble) -> Report:
        """Run all passes.

        Raises:
            KeyboardInterrupt: interrupted before every arm had answered; later there is a report.
        """
        if self.watches_gpu:
            self.watch.on_progress(Progress(Phase.IDLE_POWER))
            self.idle_power_w = idle_power(self.passes.nvml)
        answers = [self._answer(arm) for arm in self._each_arm(Phase.ANSWERS)]
        self._untimed = [
            self._with_untimed(arm, answer)
            for arm, answer in zip(self._each_arm(Phase.MEMORY), answers, strict=True)
        ]
        # Loads scipy now: an interrupt in the middle of that import would spoil the report.
        median_interval([1.0, 2.0, 4.0], fewest=1)
        stopped_by = self._take_rounds(stop, assemble)
        self.watch.on_progress(Progress(Phase.INTERVALS))
        return assemble(stopped_by, True)

    def timed(self, stopped_by: str) -> list[ArmResult]:
        """The arms with the times of all rounds so far.

        While the rounds are running, times have no intervals: to compute all of them would take
        longer than the next round.
        """
        brief = stopped_by == RUNNING or not self.rounds
        statistics_of = medians_only if brief else None
        return [
            replace(
                result,
                timing=timing_of([times[number] for times in self.rounds], statistics_of),
                capture_s=self.passes.capture_s(arm),
            )
            for number, (arm, result) in enumerate(zip(self.arms, self._untimed, strict=True))
        ]

    def _each_arm(self, phase: Phase) -> Iterator[Arm]:
        """Every arm, each told before it is handed out."""
        for number, arm in enumerate(self.arms):
            self.watch.check()
            self.watch.on_progress(Progress(phase, number, len(self.arms)))
            yield arm

    def _answer(self, arm: Arm) -> ArmResult:
        """What the arm answers, told at once: a large model's rounds take minutes."""
        answer = self.passes.answer(arm, self.work.answer_tokens)
        self.watch.on_answer(answer)
        return answer

    def _with_untimed(self, arm: Arm, answer: ArmResult) -> ArmResult:
        """The answer with what is measured once: memory, and if thorough the limit and energy."""
        tokens = self.work.timed_tokens
        result = replace(answer, memory=self.passes.memory(arm, tokens))
        if self.work.explain:
            moved = movements(self.passes.loaded, self.passes.inputs, arm)
            result = replace(result, movements=moved)
        if not self.work.thorough:
            return result
        # Of a model that is split the first process would count its own joules alone.
        counts = self.watches_gpu and self.passes.loaded.parts == 1
        energy = self.passes.energy(arm, tokens) if counts else None
        return replace(result, limit=self.passes.limit(arm), energy_j=energy)

    def _take_rounds(self, stop: Stop, assemble: Assemble) -> str:
        """Take rounds until there is a reason to stop; return it."""
        self.machine = MachineWatch(self.passes.nvml) if self.watches_gpu else None
        clock = clock_for(self.passes.loaded.device)
        self._next_look = stop.least
        self._began = time.monotonic()
        try:
            for results in run_rounds(
                [
                    partial(self.passes.time, arm, clock, self.work.timed_tokens)
                    for arm in self.arms
                ],
                repeats=None,
                warmup=self.work.warmup,
                seed=self.work.seed,
                before_trial=partial(self._tell, stop),
            ):
                self._take(results)
                reason = stop.reason(self.count, self._look(stop), self.elapsed_s)
                reason = agreed(self.passes.loaded, reason)
                if reason is not None:
                    return reason
                self._publish(assemble)
        except KeyboardInterrupt:
            pass  # what was measured so far is worth a report
        return INTERRUPTED

    def _take(self, results: list[StageTimes]) -> None:
        """Keep a round, unless the machine was slowed down before or after it."""
        if self.machine is None or self.machine.round_is_valid():
            media_s = self._decode_media()
            self.rounds.append([replace(times, media_s=media_s) for times in results])

    def _decode_media(self) -> Seconds | None:
        """Time to decode the files; once a round, for dropping has no part in it."""
        if not self.passes.subject.media:
            return None
        began = time.perf_counter()
        for item in self.passes.subject.media:
            decode_again(item)
        return time.perf_counter() - began

    def _look(self, stop: Stop) -> float | None:
        """The precision so far, if it is time to look: bootstraps can take longer than rounds."""
        rounds = len(self.rounds)
        if stop.precision is None or rounds < self._next_look:
            return None
        self._next_look = rounds + max(1, rounds // LOOK_EVERY)
        reference, *others = (
            [times[number].prefill_s for times in self.rounds] for number in range(len(self.arms))
        )
        return half_width([paired_ratio(reference, other) for other in others])

    def _publish(self, assemble: Assemble) -> None:
        """Hand out the report so far, if anyone wants it; intervals in a tenth of the time."""
        if self.watch.on_round is None or not self.rounds:
            return
        began = time.monotonic()
        with_intervals = began >= self._next_intervals
        self.watch.on_round(assemble(RUNNING, with_intervals))
        if with_intervals:
            now = time.monotonic()
            self._next_intervals = now + REST * (now - began)

    def _tell(self, stop: Stop, place: Place) -> None:
        """Say where in the order of measuring the next trial stands."""
        self.watch.check()
        part = place.trial / len(self.arms)
        if place.warm_up:
            of = self.work.warmup
            self.watch.on_progress(Progress(Phase.WARM_UP, place.round, of, part=part))
            return
        if place.trial == 0:
            self._round_began.append(time.monotonic())
        known = (place.round + part, self._round_s(), self.elapsed_s)
        self.watch.on_progress(
            Progress(
                Phase.ROUNDS,
                done=place.round,
                of=stop.coming(*known),
                at_least=stop.precision is not None,
                part=part,
                left_s=stop.left_s(*known),
            )
        )

    def _round_s(self) -> Seconds | None:
        """The median of what the rounds so far took, pauses between their trials included."""
        took = [after - before for before, after in pairwise(self._round_began)]
        return statistics.median(took) if took else None
