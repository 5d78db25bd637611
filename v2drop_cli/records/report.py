"""The report of one prompt: what was asked, where, how, and what each arm showed.

``Report.to_json()`` is the document of ``--json`` (schema ``v2drop.report/1``): the records have
the same shape as the JSON.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from v2drop_cli.records.arm import ADDED, ArmResult, Comparison, Overhead, Timing
from v2drop_cli.records.caveats import Caveat
from v2drop_cli.records.grid import Span

SCHEMA = "v2drop.report/1"
# Random weights instead of trained ones: answers of these mean nothing.
DUMMY = "dummy"
# The fake quantisation of a decoder that computes with its numbers as they are.
AS_IT_IS = "none"
# How timed generations decode.
EAGER, COMPILED = "eager", "compiled"
# Why a report is partial: still being measured (a draft), or interrupted.
RUNNING, INTERRUPTED = UNFINISHED = ("running", "interrupted")


@dataclass(frozen=True, slots=True)
class MachineState:
    """The GPU between two rounds; ``None`` for what the driver does not tell.

    Attributes:
        sm_clock_mhz: clock of the streaming multiprocessors.
        power_w: power draw, on most GPUs of the last second.
        temperature_c: of the chip.
        event_reasons: what holds the clocks down, in NVML's names.
        other_processes: others that compute on this GPU.
    """

    sm_clock_mhz: int | None
    power_w: float | None
    temperature_c: int | None
    event_reasons: tuple[str, ...] | None
    other_processes: int | None


@dataclass(frozen=True, slots=True)
class Protocol:
    """How ``v2drop profile`` measured, and why it stopped.

    Attributes:
        rounds: complete rounds that the statistics are of; each holds every arm once.
        invalid_rounds: rounds left out of them: the GPU was slowed down before or after.
        machine: its state before the first round and after each; empty on a CPU.
        idle_power_w: with the model loaded and nothing to do.
        stopped_by: ``precision``, ``time``, ``interrupted``; ``running`` in a file that is
            rewritten while measuring.
        partial: not finished: ``interrupted`` or ``running``.
        precision: wanted half-width of every prefill ratio's interval, as a share of it.
        reached_precision: the widest one, or ``None`` where an interval is unknown.
        max_time_s: of the timed rounds, warm-up included.
        elapsed_s: what they took.
        null_timing: the second dense arm's samples; its ratios are ``null_comparison``.
        scoring_overheads: one per arm that has a random arm at the same schedule.
    """

    rounds: int
    invalid_rounds: int
    machine: tuple[MachineState, ...]
    idle_power_w: float | None
    stopped_by: str
    partial: bool
    precision: float
    reached_precision: float | None
    max_time_s: float
    elapsed_s: float
    null_timing: Timing
    scoring_overheads: tuple[Overhead, ...]


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """One media file as the model saw it.

    Attributes:
        path, sha256: the file as it was named, and of its bytes; ``None`` for synthetic media.
        synthetic: random pixels of that size, no file.
    """

    path: str | None
    kind: str
    width: int
    height: int
    frames: int
    frame_times_s: tuple[float, ...] | None = None
    synthetic: bool = field(default=False, metadata=ADDED)
    sha256: str | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, resolved; ``repeats`` is ``None`` where no number was.

    Attributes:
        spans: where the vision tokens of one row are, in the prompt and over the pixels: a kept
            position of a drop is drawn with these. ``None`` where the family does not know.
        fake_quant: bits that the decoder computes with, simulated (``w4a4``), or ``none``.
    """

    model: str
    resolved_id: str
    revision: str | None
    weights: str
    media: tuple[MediaRecord, ...]
    prompt: str
    attn_implementation: str
    dtype: str
    device: str
    seed: int
    max_new_tokens: int
    repeats: int | None
    warmup: int
    timed_new_tokens: int
    batch_size: int = 1
    decode: str = field(default=EAGER, metadata=ADDED)
    spans: tuple[Span, ...] | None = field(default=None, metadata=ADDED)
    fake_quant: str = field(default=AS_IT_IS, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Lead:
    """Which of several arms is the fastest, as far as the numbers can tell.

    Attributes:
        arm: the arm with the largest speed-up of those that are shown to be faster than dense.
        metric: the speed-up that it leads in, ``generate_speedup`` or ``prefill_speedup``.
        same_answer: whether only arms with dense's own answer competed; false where no faster arm
            has it, and for dummy weights.
        tied: arms that ``arm`` is not shown to be faster than, the fastest first.
    """

    arm: str
    metric: str
    same_answer: bool
    tied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one command measured.

    Attributes:
        random_comparisons: every arm against random selection that keeps as many tokens, with
            the random arm as the reference; only arms for which there is one.
        lead: the fastest of several arms; ``None`` where fewer than two competed, or none is shown
            to be faster than dense.
        stopped_by: why the rounds ended: ``rounds`` (as many as asked for), ``precision``,
            ``time``, ``interrupted``; ``running`` in a draft. ``None`` in older files.
        summary: the finding in one sentence, as the terminal says it; ``None`` where nothing was
            compared, and of a report that no command made.
        command: the command line that made it, options of a config file written out.
    """

    environment: dict[str, Any]
    request: Request
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    null_comparison: Comparison | None = None
    warnings: tuple[Caveat, ...] = field(default=())
    protocol: Protocol | None = None
    stopped_by: str | None = field(default=None, metadata=ADDED)
    random_comparisons: tuple[Comparison, ...] = field(default=(), metadata=ADDED)
    lead: Lead | None = field(default=None, metadata=ADDED)
    summary: str | None = field(default=None, metadata=ADDED)
    command: str | None = field(default=None, metadata=ADDED)

    @property
    def yardsticks(self) -> frozenset[str]:
        """Labels of the random arms that other arms are held against."""
        overheads = self.protocol.scoring_overheads if self.protocol is not None else ()
        bars = [found.reference for found in self.random_comparisons]
        return frozenset((*bars, *(overhead.random_arm for overhead in overheads)))

    @property
    def ended_by(self) -> str | None:
        """Why the rounds ended, in older files too; ``None`` where nothing says so."""
        return self.stopped_by or (self.protocol.stopped_by if self.protocol else None)

    @property
    def partial(self) -> bool:
        """Whether rounds that were asked for are missing."""
        return self.ended_by in UNFINISHED

    @property
    def rounds(self) -> int:
        """How many valid rounds there were."""
        if self.protocol is not None:
            return self.protocol.rounds
        timed = [arm.timing.prefill_s for arm in self.arms]
        return max((len(stats.samples) for stats in timed if stats is not None), default=0)

    def to_json(self) -> dict[str, Any]:
        """The ``v2drop.report/1`` document: plain dicts, lists, numbers, strings, ``None``."""
        return {"schema": SCHEMA, **_plain(dataclasses.asdict(self))}

    def dumps(self) -> str:
        """The document as text; keys in contract order, no NaN (that would not be JSON)."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
