"""``v2drop profile``: the same comparison as ``run``, measured until the numbers can be quoted.

Every round holds each arm once, in random order, the next round in reverse; beside the arms
asked for run a second dense arm (the A/A null: what this machine shows where nothing differs)
and random selection (all of the dropping, none of the scoring). Rounds go on until every
prefill ratio is known precisely enough, or time is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.comparison import compare, random_comparisons, scoring_overheads
from v2drop_cli.bench.explain import check_explained
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.rounds import Bench, Work
from v2drop_cli.bench.stopping import StopRule, half_width
from v2drop_cli.bench.watch import Watch
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.judge.naming import check_names
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import Media
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import EAGER, RANDOM, Protocol, Report, Request
from v2drop_cli.records.report import UNFINISHED

MOST_INVALID = 0.2
"""With a larger share of invalid rounds the whole measurement is invalid."""


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
    explain: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured, before a model is loaded."""
        if self.explain:
            check_explained(self.arms.methods)

    @property
    def most_new_tokens(self) -> int:
        """Of any generation."""
        return max(self.max_new_tokens, self.new_tokens)

    @property
    def work(self) -> Work:
        """How much is measured of each arm.

        Recording a compiled decoding empties the allocator's cache: the round right after it is
        one of the warm-up.
        """
        least = 1 if self.decode != EAGER else 0
        return Work(
            self.max_new_tokens,
            self.new_tokens,
            max(self.warmup, least),
            self.arms.seed,
            thorough=True,
            explain=self.explain,
        )


def profile(
    loaded: LoadedModel,
    media: Sequence[Media],
    options: ProfileOptions,
    watch: Watch | None = None,
) -> Report:
    """Measure the arms on one prompt.

    Ctrl-C once every arm has answered ends the measuring, not the report: it is marked partial.

    Raises:
        ScheduleError: a schedule does not fit the model or the prompt.
        UsageError: this device cannot decode in the way asked for.
        DeviceMemoryError: the device ran out of memory.
        KeyboardInterrupt: interrupted before every arm had answered.
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
        watch = watch or Watch()
        arms = line_up(replace(options.arms, methods=methods), passes, watch)
        check_names(options.labels, arms)
        return measured(passes, arms, options, watch)


def measured(passes: Passes, arms: Sequence[Arm], options: ProfileOptions, watch: Watch) -> Report:
    """The report of arms that are lined up: the first is the reference, and its own null."""
    with_null = [arms[0], replace(arms[0]), *arms[1:]]
    bench = Bench(passes, with_null, options.work, watch)
    return bench.measure(options.stop, partial(_report, bench, options))


def _report(bench: Bench, options: ProfileOptions, stopped_by: str, intervals: bool) -> Report:
    """What there is so far; ``arms[1]`` is the null, a second dense arm measured like any other."""
    dense, null, *others = bench.timed(stopped_by)
    against = partial(compare, dense, intervals=intervals)
    null_comparison, *comparisons = (against(arm) for arm in (null, *others))
    machine = bench.machine
    report = Report(
        environment=bench.environment,
        request=request_of(bench.passes, options),
        arms=(dense, *others),
        comparisons=tuple(comparisons),
        null_comparison=null_comparison,
        warnings=(*bench.passes.caveats(), *(machine.caveats() if machine else ())),
        protocol=Protocol(
            rounds=bench.count.valid,
            invalid_rounds=bench.count.invalid,
            machine=tuple(machine.states) if machine else (),
            idle_power_w=bench.idle_power_w,
            stopped_by=stopped_by,
            partial=stopped_by in UNFINISHED,
            precision=options.stop.precision,
            reached_precision=half_width(
                [found.prefill_speedup for found in (null_comparison, *comparisons)]
            ),
            max_time_s=options.stop.max_time_s,
            elapsed_s=bench.elapsed_s,
            null_timing=null.timing,
            scoring_overheads=scoring_overheads(dense, others, RANDOM, intervals=intervals),
        ),
        stopped_by=stopped_by,
        random_comparisons=random_comparisons(others, intervals=intervals),
    )
    return judged(report)


def request_of(passes: Passes, options: ProfileOptions) -> Request:
    """What was asked for, with what the subject decided of it."""
    return Request(
        model=options.model_name,
        seed=options.arms.seed,
        max_new_tokens=options.max_new_tokens,
        repeats=options.stop.repeats,
        warmup=options.work.warmup,
        timed_new_tokens=options.new_tokens,
        **passes.described(),
    )


def invalid(protocol: Protocol | None) -> str | None:
    """Why the measurement as a whole is not to be used, or ``None``."""
    if protocol is None:
        return None
    taken = protocol.rounds + protocol.invalid_rounds
    if not taken or protocol.invalid_rounds <= MOST_INVALID * taken:
        return None
    return f"the GPU was slowed down in {protocol.invalid_rounds} of {taken} rounds"
