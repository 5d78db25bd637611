"""``v2drop run``: the same prompt through every arm; answers, times and memory side by side.

Three passes, so that no measurement disturbs another: answers (natural stop, with the trace
of what was dropped), memory (one arm at a time), times (fixed work, arms interleaved).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from v2drop_cli.bench.arms import ArmOptions
from v2drop_cli.bench.comparison import compare, random_comparisons
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.rounds import Bench, Work
from v2drop_cli.bench.stopping import FixedRounds
from v2drop_cli.bench.watch import Watch
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import Media
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import Report, Request

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

    @property
    def work(self) -> Work:
        """How much is measured of each arm."""
        return Work(self.max_new_tokens, self.timed_new_tokens, self.warmup, self.arms.seed)


def run(
    loaded: LoadedModel,
    media: Sequence[Media],
    options: RunOptions,
    watch: Watch | None = None,
) -> Report:
    """Compare the arms on one prompt.

    Ctrl-C once every arm has answered ends the measuring, not the report: it is marked partial.

    Raises:
        ScheduleError: a schedule does not fit the model or the prompt.
        DeviceMemoryError: the device ran out of memory.
        KeyboardInterrupt: interrupted before every arm had answered.
    """
    with Nvml(loaded.device) as nvml:
        subject = Subject(loaded, media, options.prompt, synthetic=options.synthetic)
        passes = Passes(subject, nvml)
        watch = watch or Watch()
        bench = Bench(passes, line_up(options.arms, passes, watch), options.work, watch)
        return bench.measure(FixedRounds(options.repeats), partial(_report, bench, options))


def _report(bench: Bench, options: RunOptions, stopped_by: str, intervals: bool) -> Report:
    """What there is so far."""
    dense, *others = bench.timed(stopped_by)
    report = Report(
        environment=bench.environment,
        request=Request(
            model=options.model_name,
            seed=options.arms.seed,
            max_new_tokens=options.max_new_tokens,
            repeats=options.repeats,
            warmup=options.warmup,
            timed_new_tokens=options.timed_new_tokens,
            **bench.passes.described(),
        ),
        arms=(dense, *others),
        comparisons=tuple(compare(dense, arm, intervals=intervals) for arm in others),
        warnings=bench.passes.caveats(),
        stopped_by=stopped_by,
        random_comparisons=random_comparisons(others, intervals=intervals),
    )
    return judged(report)
