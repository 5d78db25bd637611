"""``v2drop run``: the same prompt through every arm; answers, times and memory side by side.

Three passes, so that no measurement disturbs another: answers (natural stop, with the trace
of what was dropped), times (fixed work, arms interleaved), memory (one arm at a time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.comparison import compare
from v2drop_cli.bench.passes import Passes, Subject, Watch, timing_of
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.trials import run_blocks
from v2drop_cli.media import Media
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import ArmResult, Report, Request

# Enough tokens for a time per token; answers have a length of their own.
MOST_TIMED_TOKENS = 16


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run; see ``v2drop run --help``."""

    prompt: str
    model_name: str
    arms: ArmOptions
    max_new_tokens: int = 64
    repeats: int = 5
    warmup: int = 1
    synthetic: SyntheticInput | None = None

    @property
    def timed_new_tokens(self) -> int:
        """Tokens of one timed generation."""
        return min(self.max_new_tokens, MOST_TIMED_TOKENS)


def run(
    loaded: LoadedModel,
    media: Sequence[Media],
    options: RunOptions,
    watch: Watch | None = None,
) -> Report:
    """Compare the arms on one prompt.

    Raises:
        ScheduleError: a schedule does not fit the model or the prompt.
        DeviceMemoryError: the device ran out of memory.
    """
    with Nvml(loaded.device) as nvml:
        subject = Subject(loaded, media, options.prompt, synthetic=options.synthetic)
        passes = Passes(subject, nvml)
        arms = options.arms.resolve(loaded, passes.vision_tokens)
        return _Bench(passes, arms, options, watch or Watch()).report()


class _Bench:
    """The passes of one run, and the report they add up to."""

    def __init__(self, passes: Passes, arms: list[Arm], options: RunOptions, watch: Watch) -> None:
        self.passes, self.arms, self.options, self.watch = passes, arms, options, watch
        self.environment = describe(passes.loaded.device, passes.nvml)

    def report(self) -> Report:
        """Run all passes."""
        answered = []
        for number, arm in enumerate(self.arms):
            self.watch.on_stage("answers", number, len(self.arms))
            answered.append(self.passes.answer(arm, self.options.max_new_tokens))
        remembered = []
        for number, (arm, result) in enumerate(zip(self.arms, answered, strict=True)):
            self.watch.on_stage("memory", number, len(self.arms))
            memory = self.passes.memory(arm, self.options.timed_new_tokens)
            remembered.append(replace(result, memory=memory))
        samples: list[list[StageTimes]] = [[] for _ in self.arms]
        for block in self._timed_blocks():
            for arm_samples, times in zip(samples, block, strict=True):
                arm_samples.append(times)
            if self.watch.on_round is not None:
                self.watch.on_round(self._assemble(remembered, samples))
        return self._assemble(remembered, samples)

    def _timed_blocks(self) -> Iterator[list[StageTimes]]:
        clock = clock_for(self.passes.loaded.device)

        def trial(arm: Arm) -> Callable[[], StageTimes]:
            return lambda: self.passes.time(arm, clock, self.options.timed_new_tokens)

        return run_blocks(
            [trial(arm) for arm in self.arms],
            repeats=self.options.repeats,
            warmup=self.options.warmup,
            seed=self.options.arms.seed,
            on_progress=self._tell,
        )

    def _tell(self, done: int, total: int) -> None:
        self.watch.check()
        self.watch.on_stage("timing", done, total)

    def _assemble(self, results: list[ArmResult], samples: list[list[StageTimes]]) -> Report:
        timed = tuple(
            replace(result, timing=timing_of(arm_samples))
            for result, arm_samples in zip(results, samples, strict=True)
        )
        report = Report(
            environment=self.environment,
            request=self._request(),
            arms=timed,
            comparisons=tuple(compare(timed[0], arm) for arm in timed[1:]),
            warnings=self.passes.caveats(),
        )
        return judged(report)

    def _request(self) -> Request:
        options = self.options
        return Request(
            model=options.model_name,
            seed=options.arms.seed,
            max_new_tokens=options.max_new_tokens,
            repeats=options.repeats,
            warmup=options.warmup,
            timed_new_tokens=options.timed_new_tokens,
            **self.passes.described(),
        )
