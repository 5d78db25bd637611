"""``v2drop run``: the same prompt through every arm; answers, times and memory side by side.

Three passes, so that no measurement disturbs another: answers (natural stop, with the trace
of what was dropped), times (fixed work, arms interleaved), memory (one arm at a time).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from v2drop_cli.generate import drop_idle_mask, greedy
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.environment import describe
from v2drop_cli.measure.memory import MemoryMeter, memory_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.stats import summarize
from v2drop_cli.measure.trials import run_blocks
from v2drop_cli.media import Media
from v2drop_cli.models.base import Inputs, LoadedModel
from v2drop_cli.records import Answer, ArmResult, Caveat, Drop, Memory, Report, Request, Timing
from v2drop_cli.run.arms import Arm, ArmOptions
from v2drop_cli.run.compare import compare
from v2drop_cli.run.stages import StageTimes, new_cache, time_stages
from v2drop_cli.schedule import DropPlan

DUMMY_CAVEAT = Caveat("dummy_weights", "dummy weights: timings are real, answers are not")
CPU_CAVEAT = Caveat("device_cpu", "measured on the CPU: wall clock; GPU figures n/a")
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

    @property
    def timed_new_tokens(self) -> int:
        """Tokens of one timed generation."""
        return min(self.max_new_tokens, MOST_TIMED_TOKENS)


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to know: called between measurements, never inside one.

    Attributes:
        on_stage: what is going on now, and how far (done, total).
        on_round: a complete report after each round of timed trials.
    """

    on_stage: Callable[[str, int, int], None] = lambda what, done, total: None
    on_round: Callable[[Report], None] = lambda report: None


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
    watch = watch or Watch()
    inputs = prepare(loaded, media, options.prompt)
    arms = options.arms.resolve(loaded, sum(inputs.vision.counts))
    with Nvml(loaded.device) as nvml:
        bench = _Bench(loaded, media, options, inputs, arms, nvml, watch)
        return bench.report()


def prepare(loaded: LoadedModel, media: Sequence[Media], prompt: str) -> Inputs:
    """Process one prompt with its media; tensors stay on the host."""
    return loaded.family.prepare(loaded.processor, loaded.model.config, media, prompt)


class _Bench:
    """The passes of one run, and the report they add up to."""

    def __init__(
        self,
        loaded: LoadedModel,
        media: Sequence[Media],
        options: RunOptions,
        inputs: Inputs,
        arms: list[Arm],
        nvml: Nvml,
        watch: Watch,
    ) -> None:
        self.loaded, self.media, self.options = loaded, media, options
        self.inputs, self.arms, self.nvml, self.watch = inputs, arms, nvml, watch
        self.environment = describe(loaded.device, nvml)
        self.meter: MemoryMeter = memory_for(loaded.device, nvml)

    def report(self) -> Report:
        """Run all passes."""
        answered = []
        for number, arm in enumerate(self.arms):
            self.watch.on_stage("answers", number, len(self.arms))
            answered.append(self._answer(arm))
        remembered = []
        for number, (arm, result) in enumerate(zip(self.arms, answered, strict=True)):
            self.watch.on_stage("memory", number, len(self.arms))
            remembered.append(replace(result, memory=self._memory(arm)))
        samples: list[list[StageTimes]] = [[] for _ in self.arms]
        for block in self._timed_blocks():
            for arm_samples, times in zip(samples, block, strict=True):
                arm_samples.append(times)
            self.watch.on_round(self._assemble(remembered, samples))
        return self._assemble(remembered, samples)

    def _timed_blocks(self) -> Any:
        clock = clock_for(self.loaded.device)

        def trial(arm: Arm) -> Callable[[], StageTimes]:
            return lambda: self._time(arm, clock)

        return run_blocks(
            [trial(arm) for arm in self.arms],
            repeats=self.options.repeats,
            warmup=self.options.warmup,
            seed=self.options.arms.seed,
            on_progress=lambda done, total: self.watch.on_stage("timing", done, total),
        )

    def _time(self, arm: Arm, clock: Any) -> StageTimes:
        began = time.perf_counter()
        inputs = prepare(self.loaded, self.media, self.options.prompt)
        processor_s = time.perf_counter() - began
        with arm.applied(self.loaded):
            times = time_stages(self.loaded, inputs, clock, self.options.timed_new_tokens)
        return replace(times, preprocess_s=processor_s + times.preprocess_s)

    def _answer(self, arm: Arm) -> ArmResult:
        loaded = self.loaded
        tensors = self.inputs.to(loaded.device, loaded.dtype).tensors
        length = tensors["input_ids"].shape[1]
        with arm.applied(loaded) as trace:
            output = loaded.model.generate(
                **tensors,
                do_sample=False,
                max_new_tokens=self.options.max_new_tokens,
            )
        tokens = tuple(output[0, length:].tolist())
        plan = self._plan(arm)
        drops = tuple(
            Drop(event.layer, sum(event.before), sum(event.after), event.kept)
            for event in trace.events
        )
        return ArmResult(
            label=arm.label,
            method=arm.method,
            schedule=None if arm.schedule is None else str(arm.schedule),
            answer=Answer(loaded.decode(tokens), tokens),
            vision_tokens=plan.counts[0],
            layer_average_vision_tokens=plan.layer_average,
            drops=drops,
            timing=Timing(),
            memory=Memory(),
        )

    def _plan(self, arm: Arm) -> DropPlan:
        n_vision, n_layers = sum(self.inputs.vision.counts), self.loaded.n_layers
        if arm.schedule is None:
            return DropPlan((n_vision,) * n_layers)
        return arm.schedule.resolve(n_vision, n_layers, self.loaded.first_droppable)

    def _memory(self, arm: Arm) -> Memory:
        loaded = self.loaded
        tensors = drop_idle_mask(self.inputs.to(loaded.device, loaded.dtype).tensors)
        cache = new_cache(loaded)
        self.meter.start()
        with arm.applied(loaded):
            for _ in greedy(loaded.model, tensors, cache, self.options.timed_new_tokens):
                pass
        return self.meter.finish(
            weights_bytes=weights_bytes(loaded.model), kv_cache_bytes=cache_bytes(cache)
        )

    def _assemble(self, results: list[ArmResult], samples: list[list[StageTimes]]) -> Report:
        timed = tuple(
            replace(result, timing=_timing(arm_samples))
            for result, arm_samples in zip(results, samples, strict=True)
        )
        return Report(
            environment=self.environment,
            request=self._request(),
            arms=timed,
            comparisons=tuple(compare(timed[0], arm) for arm in timed[1:]),
            warnings=self._warnings(),
        )

    def _request(self) -> Request:
        loaded, options = self.loaded, self.options
        return Request(
            model=options.model_name,
            resolved_id=loaded.source,
            revision=loaded.revision,
            weights=loaded.weights,
            media=tuple(item.record for item in self.media),
            prompt=options.prompt,
            attn_implementation=loaded.attn_implementation,
            dtype=str(loaded.dtype).removeprefix("torch."),
            device=str(loaded.device),
            seed=options.arms.seed,
            max_new_tokens=options.max_new_tokens,
            repeats=options.repeats,
            warmup=options.warmup,
            timed_new_tokens=options.timed_new_tokens,
        )

    def _warnings(self) -> tuple[Caveat, ...]:
        caveats = [caveat for item in self.media for caveat in item.caveats]
        if self.loaded.weights == "dummy":
            caveats.append(DUMMY_CAVEAT)
        if self.loaded.device.type == "cpu":
            caveats.append(CPU_CAVEAT)
        else:
            caveats.extend(self.nvml.caveats)
        return (*caveats, *self.meter.caveats)


def _timing(samples: Sequence[StageTimes]) -> Timing:
    names = [field.name for field in dataclasses.fields(Timing)]
    return Timing(**{name: summarize([getattr(s, name) for s in samples]) for name in names})


def weights_bytes(model: Any) -> int:
    """Bytes of parameters and buffers; shared tensors count once."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def cache_bytes(cache: Any) -> int:
    """Bytes that the layers of a KV cache hold."""
    held = [t for layer in cache.layers for t in (layer.keys, layer.values) if t is not None]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)
