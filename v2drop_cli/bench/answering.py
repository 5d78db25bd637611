"""Answers to a batch of prompts, timed as they are given: greedy, until the model stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from v2drop_cli.bench.arms import Arm
from v2drop_cli.instrument.hooks import Before, hooked
from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.measure.clock import Clock, Marks
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.generation import answering
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.library_talk import listening
from v2drop_cli.schedule import DropPlan
from v2drop_cli.units import Seconds

STEP, END = "decoder begins", "answered"
"""Marks: before each step of the decoder, and behind the last one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One row's answer.

    Attributes:
        tokens: its ids, with the one that ends it.
        vision_tokens: of the prompt.
        layer_average: vision tokens that a layer of the decoder processed on average.
        prefill_s: from the language model's first layer to the first token; the batch's time,
            shared equally by its rows.
        decode_s_per_token: of the later tokens, shared likewise; ``None`` where there are none.
        held: vision tokens that each layer of the decoder processed.
    """

    tokens: tuple[int, ...]
    vision_tokens: int
    layer_average: float
    prefill_s: Seconds
    decode_s_per_token: Seconds | None
    held: tuple[int, ...] = ()


def answer(
    loaded: LoadedModel, inputs: Inputs, arm: Arm, clock: Clock, max_new_tokens: int
) -> list[Answered]:
    """The answer of ``arm`` to each row of ``inputs`` (host tensors).

    Raises:
        V2DropError: the arm cannot serve this prompt.
        RuntimeError: the device ran out of memory, or what else went wrong.
    """
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    length, rows = tensors["input_ids"].shape[1], len(tensors["input_ids"])

    def at_decoder(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        clock.mark(STEP)

    decoder = Before(loaded.family.decoder(loaded.model), at_decoder)
    with (
        listening(),
        torch.no_grad(),
        answering(loaded, max_new_tokens) as settings,
        arm.applied(loaded) as trace,
        hooked(decoder),
    ):
        clock.start()
        output = loaded.model.generate(**tensors, generation_config=settings)
        clock.mark(END)
        marks = clock.finish()
    ends = settings.eos_token_id
    stops = set(ends) if isinstance(ends, list) else {ends}
    prefill_s, decode_s = times_of(marks, rows)
    went = plans(loaded, inputs, trace.events)
    return [
        Answered(_until(ids, stops), count, plan.layer_average, prefill_s, decode_s, plan.counts)
        for ids, count, plan in zip(
            output[:, length:].tolist(), inputs.vision.counts, went, strict=True
        )
    ]


def _until(ids: Sequence[int], stops: set[Any]) -> tuple[int, ...]:
    """What stands before the padding that a batch puts behind its shorter answers."""
    for place, token in enumerate(ids):
        if token in stops:
            return tuple(ids[: place + 1])
    return tuple(ids)


def times_of(marks: Marks, rows: int) -> tuple[Seconds, Seconds | None]:
    """One row's share of the prefill, and of each later step; marks are those of :data:`STEP`."""
    steps = [time_s for name, time_s in marks.times_s if name == STEP]
    end = marks.times_s[-1][1]
    begin, *later = steps
    if not later:
        return (end - begin) / rows, None
    return (later[0] - begin) / rows, (end - later[0]) / len(later) / rows


def plans(loaded: LoadedModel, inputs: Inputs, events: Sequence[DropEvent]) -> list[DropPlan]:
    """The tokens of each row, layer by layer: what happened, not what the schedule says."""
    return [
        DropPlan.realised(
            count, loaded.n_layers, {event.layer: event.after[row] for event in events}
        )
        for row, count in enumerate(inputs.vision.counts)
    ]
