"""What can be measured of one arm on one prompt: its answer, one timed trial, its memory.

Each is a pass of its own, so that no measurement disturbs another. Commands differ in which
passes they make and in what order.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import transformers

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.chosen import (
    chosen_caveat,
    chosen_plan,
    counts_beyond,
    ignored_counts,
)
from v2drop_cli.bench.places import Shower, spans
from v2drop_cli.bench.stages import StageTimes, time_stages
from v2drop_cli.generate.decoding import Compiled, Eager, Generation, check_decoding, new_graph
from v2drop_cli.generate.greedy import ready
from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.measure.clock import Clock
from v2drop_cli.measure.energy import energy_of
from v2drop_cli.measure.footprint import weights_bytes
from v2drop_cli.measure.memory import MemoryMeter, memory_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.stats import summarize
from v2drop_cli.measure.work import decoder_shape, limit, memory_bandwidth
from v2drop_cli.media import Media
from v2drop_cli.methods.parameters import parameters_of
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.arguments import heads_one_token
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.context_length import beyond_context
from v2drop_cli.models.generation import answering
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.library_talk import listening
from v2drop_cli.models.load_errors import processing
from v2drop_cli.models.parts import language_head
from v2drop_cli.models.releases import untested
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.prompt import media_of, synthetic_inputs
from v2drop_cli.records import (
    AS_IT_IS,
    COMPILED,
    EAGER,
    Answer,
    ArmResult,
    Caveat,
    CaveatKind,
    Drop,
    Limit,
    MediaRecord,
    Memory,
    Stats,
    Timing,
)
from v2drop_cli.schedule import DropPlan
from v2drop_cli.units import Joules, Seconds


@dataclass(frozen=True, slots=True)
class Subject:
    """One prompt on one loaded model.

    Attributes:
        batch_size: how many rows of the same prompt are answered at once.
        synthetic: what to make up instead of processing media; there are none then.
        decode: how timed generations decode, ``eager`` or ``compiled``.
    """

    loaded: LoadedModel
    media: Sequence[Media]
    prompt: str
    batch_size: int = 1
    synthetic: SyntheticInput | None = None
    decode: str = EAGER

    def prepare(self) -> Inputs:
        """Process the prompt with its media, once a row; tensors stay on the host."""
        rows = [self._row() for _ in range(self.batch_size)]
        return rows[0] if len(rows) == 1 else Inputs.batch(rows)

    def _row(self) -> Inputs:
        if self.synthetic is not None:
            return synthetic_inputs(self.loaded, self.synthetic)
        with processing(self.loaded.source):
            return self.loaded.prepare(self.media, self.prompt)

    @property
    def records(self) -> tuple[MediaRecord, ...]:
        """The media as a report names them."""
        if self.synthetic is None:
            return tuple(item.record for item in self.media)
        media = media_of(self.synthetic, self.loaded.model.config)
        return tuple(
            MediaRecord(
                path=None,
                kind="image" if item.frames is None else "video",
                width=item.width,
                height=item.height,
                frames=item.frames or 1,
                synthetic=True,
            )
            for item in media
        )


class Passes:
    """The passes over one subject.

    Raises:
        UsageError: the subject cannot be decoded in the way asked for.
    """

    def __init__(self, subject: Subject, nvml: Nvml) -> None:
        check_decoding(subject.loaded, subject.decode)
        self.subject, self.nvml = subject, nvml
        self.loaded = subject.loaded
        with listening() as talk:
            self.inputs = subject.prepare()
        self._talk: list[Caveat] = [*talk.caveats]
        self.meter: MemoryMeter = memory_for(self.loaded.device, nvml)
        self._recorded: list[tuple[Arm, int, Generation]] = []
        self._chosen: dict[Arm, DropPlan] = {}
        self._most_new_tokens = 0

    @property
    def vision_tokens(self) -> int:
        """Vision tokens of one row of the batch."""
        return self.inputs.vision.counts[0] if self.inputs.vision.counts else 0

    def note(self, *caveats: Caveat) -> None:
        """Add to what the reader must know: see :meth:`caveats`."""
        self._talk.extend(caveats)

    def prefill(self, arm: Arm) -> None:
        """One prefill, untimed, so that whatever refuses the arm does so now.

        Raises:
            V2DropError: the method refuses the model or the prompt.
        """
        _, events = self._generate(arm, 1)
        if arm.method is not None and get_method(arm.method).chooses_count:
            self._chosen[arm] = chosen_plan(events, self.vision_tokens, self.loaded.n_layers)

    def answer(self, arm: Arm, max_new_tokens: int) -> ArmResult:
        """Generate until the model stops, noting what is dropped; nothing is timed."""
        loaded = self.loaded
        self._most_new_tokens = max(self._most_new_tokens, max_new_tokens)
        tokens, events = self._generate(arm, max_new_tokens)
        method = None if arm.method is None else get_method(arm.method)
        if method is not None:
            self._talk.extend(method.caveats())
        if method is not None and method.chooses_count:
            self._chosen[arm] = chosen_plan(events, self.vision_tokens, self.loaded.n_layers)
            self._talk.extend((chosen_caveat(method.name), *ignored_counts(arm, method)))
        plan = self.plan(arm)
        if method is not None:
            self._talk.extend(counts_beyond(arm, method, plan, self.vision_tokens))
        rows = self.subject.batch_size
        drops = tuple(
            Drop(event.layer, sum(event.before), sum(event.after), event.kept, event.sources)
            for event in events
        )
        return ArmResult(
            label=arm.label,
            method=None if method is None else method.name,
            schedule=None if arm.schedule is None else str(arm.schedule),
            answer=Answer(loaded.decode(tokens), tokens),
            vision_tokens=self.vision_tokens * rows,
            layer_average_vision_tokens=plan.layer_average * rows,
            drops=drops,
            timing=Timing(),
            memory=Memory(),
            parameters={} if method is None else parameters_of(method),
            budget=None if arm.budget is None else arm.budget.name,
            solved=arm.solved,
        )

    def _generate(self, arm: Arm, n: int) -> tuple[tuple[int, ...], Sequence[DropEvent]]:
        """At most ``n`` tokens of the first row, and what was dropped for them."""
        loaded = self.loaded
        tensors = self.inputs.to(loaded.device, loaded.dtype).tensors
        length = tensors["input_ids"].shape[1]
        with listening() as talk, answering(loaded, n) as settings, arm.applied(loaded) as trace:
            output = loaded.model.generate(**tensors, generation_config=settings)
        self._talk.extend(talk.caveats)
        return tuple(output[0, length:].tolist()), trace.events

    def plan(self, arm: Arm) -> DropPlan:
        """Vision tokens of one row that each layer processes.

        Those that a method chose itself are known once it was run; it is, if nobody did.
        """
        if arm.schedule is None or arm.method is None:
            return DropPlan((self.vision_tokens,) * self.loaded.n_layers)
        if get_method(arm.method).chooses_count:
            if arm not in self._chosen:
                self.prefill(arm)
            return self._chosen[arm]
        first, _ = self.loaded.droppable
        return arm.schedule.resolve(self.vision_tokens, self.loaded.n_layers, first)

    def limit(self, arm: Arm) -> Limit | None:
        """What the arm's prefill and decoding cost at least, from its tokens per layer.

        ``None`` for a decoder whose work is not known from its shapes.
        """
        loaded = self.loaded
        head, config = language_head(loaded.model), loaded.model.config.get_text_config()
        shape = decoder_shape(loaded.family.layers(loaded.model), head, config)
        if shape is None:
            return None
        prompt = self.inputs.tensors["input_ids"].shape[1]
        columns = [prompt - self.vision_tokens + vision for vision in self.plan(arm).counts]
        answers = 1 if heads_one_token(loaded.model) else prompt
        bandwidth = memory_bandwidth(loaded.device)
        return limit(shape, columns, self.subject.batch_size, bandwidth, answers)

    def memory(self, arm: Arm, new_tokens: int) -> Memory:
        """Peaks of one generation of ``new_tokens``."""
        loaded = self.loaded
        tensors = ready(loaded, self.inputs)
        self.meter.start()
        generation = self._generation(arm, new_tokens)
        with arm.applied(loaded):
            for _ in generation.tokens(tensors):
                pass
        return self.meter.finish(
            weights_bytes=weights_bytes(loaded.model), kv_cache_bytes=generation.kv_bytes()
        )

    def energy(self, arm: Arm, new_tokens: int) -> Joules | None:
        """Joules of one generation of ``new_tokens``; ``None`` where there is no counter."""
        loaded = self.loaded
        tensors = ready(loaded, self.inputs)
        generation = self._generation(arm, new_tokens)

        def request() -> None:
            for _ in generation.tokens(tensors):
                pass

        with arm.applied(loaded):
            return energy_of(request, self.nvml, lambda: torch.cuda.synchronize(loaded.device))

    def time(self, arm: Arm, clock: Clock, new_tokens: int) -> StageTimes:
        """One trial: processor, transfer, and a generation of exactly ``new_tokens``."""
        generation = self._timed_generation(arm, new_tokens)
        inputs, processor_s = self.inputs, None
        if self.subject.synthetic is None:
            began = time.perf_counter()
            inputs = self.subject.prepare()
            processor_s = time.perf_counter() - began
        with arm.applied(self.loaded, clock.mark):
            times = time_stages(self.loaded, inputs, clock, new_tokens, generation)
        if arm.method is None:
            times = replace(times, drop_s=None)
        if processor_s is None or times.preprocess_s is None:
            return replace(times, preprocess_s=None)
        return replace(
            times, preprocess_s=processor_s + times.preprocess_s, processor_s=processor_s
        )

    def capture_s(self, arm: Arm) -> Seconds | None:
        """What recording the arm's timed decoding took; ``None`` if nothing was recorded."""
        return next((g.capture_s for known, _, g in self._recorded if known is arm), None)

    def _timed_generation(self, arm: Arm, new_tokens: int) -> Generation:
        """Recorded before the arm's first trial and kept; a second dense arm has its own.

        An eager one is made for each trial: kept, it would hold on to a cache.
        """
        for known, length, generation in self._recorded:
            if known is arm and length == new_tokens:
                return generation
        generation = self._generation(arm, new_tokens)
        if self.subject.decode == COMPILED:
            self._recorded.append((arm, new_tokens, generation))
        return generation

    def _generation(self, arm: Arm, new_tokens: int) -> Generation:
        loaded = self.loaded
        self._most_new_tokens = max(self._most_new_tokens, new_tokens)
        if self.subject.decode != COMPILED:
            return Eager(loaded, self.inputs, new_tokens)
        graph = new_graph(loaded.device)
        applied = partial(arm.applied, loaded)
        return Compiled(loaded, self.inputs, new_tokens, graph, applied)

    def caveats(self) -> tuple[Caveat, ...]:
        """What the reader must know of media, weights and device; complete after the passes."""
        found = [caveat for item in self.subject.media for caveat in item.caveats]
        found.extend((*self.loaded.caveats, *self.inputs.caveats, *self._talk))
        if (caveat := untested(transformers.__version__)) is not None:
            found.append(caveat)
        length = self.inputs.tensors["input_ids"].shape[1]
        beyond = beyond_context(self.loaded.model.config, length, self._most_new_tokens)
        found.extend([beyond] if beyond else [])
        if self.loaded.weights == "dummy":
            found.append(CaveatKind.DUMMY_WEIGHTS.caveat())
        if self.subject.synthetic is not None:
            found.append(CaveatKind.SYNTHETIC_INPUT.caveat())
        if self.loaded.device.type == "cpu":
            found.append(CaveatKind.DEVICE_CPU.caveat())
        else:
            found.extend(self.nvml.caveats)
        return tuple(dict.fromkeys((*found, *self.meter.caveats)))

    def described(self) -> dict[str, Any]:
        """The part of a report's request that the subject decides."""
        loaded, media = self.loaded, self.subject.records
        return {
            "resolved_id": loaded.source,
            "revision": loaded.revision,
            "weights": loaded.weights,
            "media": media,
            "prompt": self.subject.prompt,
            "attn_implementation": loaded.attn_implementation,
            "dtype": str(loaded.dtype).removeprefix("torch."),
            "device": str(loaded.device),
            "batch_size": self.subject.batch_size,
            "decode": self.subject.decode,
            "fake_quant": loaded.fake_quant or AS_IT_IS,
            "spans": spans(self.inputs.vision, media, Shower.of(loaded)),
        }


def timing_of(
    samples: Sequence[StageTimes],
    statistics: Callable[[Iterable[float | None]], Stats | None] | None = None,
) -> Timing:
    """All stages of several trials, each with ``statistics`` (median and interval by default)."""
    names = [field.name for field in dataclasses.fields(Timing)]
    of = statistics or (lambda values: summarize(list(values)))
    return Timing(**{name: of([getattr(s, name) for s in samples]) for name in names})
