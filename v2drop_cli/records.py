"""What a measurement produced: frozen, torch-free, and the same shape as the report JSON.

``Report.to_json()`` is the document of ``--json`` (schema ``v2drop.report/1``); field names
carry their unit (``_s`` seconds, ``_bytes``, ``_j`` joules). Not measured is ``None``, never 0.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "v2drop.report/1"
DENSE = "dense"
# Of keys that the first documents of this schema lack: reading does without them.
ADDED = {"added": True}
# How timed generations decode.
EAGER, COMPILED = "eager", "compiled"
# Of the time for one token: a GPU that is done this soon after the last launch was waiting.
LAUNCH_BOUND_BELOW = 0.25
# Intervals of fewer rounds miss the truth far too often: docs/measuring.md shows how often.
FEWEST_FOR_INTERVAL = 5


@dataclass(frozen=True, slots=True)
class Stats:
    """Samples of one quantity, in the unit of the field that holds it."""

    median: float
    samples: tuple[float, ...]
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the paired ratios between two arms, with its bootstrap interval."""

    median: float
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, from a generation of its own that stops where the model stops."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """One drop as it happened.

    Attributes:
        layer: decoder layer whose input was shortened, from 0.
        before: vision tokens entering the drop, summed over batch rows.
        after: vision tokens that stayed, summed over batch rows.
        kept: prompt positions of the vision tokens kept, one list per batch row.
    """

    layer: int
    before: int
    after: int
    kept: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Stages of one answer. Time to first token is preprocess + vision + prefill.

    Attributes:
        preprocess_s: processor and transfer to the device, wall clock.
        vision_s: from the start of the forward to the language model's first layer.
        prefill_s: from there to the first new token.
        generate_s: from the start of the forward to the last token, on the device's timeline.
        wall_s: the same on the host's clock.
        media_s: decoding the media files; ``v2drop profile`` only, once a round for all arms.
        end_to_end_s: media, preprocess and ``wall_s`` together.
        processor_s: of ``preprocess_s``, the processor's part.
        transfer_s: of ``preprocess_s``, the transfer to the device.
        tower_s: of ``vision_s``, the vision tower's part, where the family says where it is.
        projector_s: of ``vision_s``, the projector's part, likewise.
        drop_s: of ``prefill_s``, scoring and gathering; ``None`` for dense.
        host_wait_s: of ``wall_s``, from the last launch until the GPU was done; ``None`` on a
            CPU, where work is done when the call returns.
    """

    preprocess_s: Stats | None = None
    vision_s: Stats | None = None
    prefill_s: Stats | None = None
    time_to_first_token_s: Stats | None = None
    decode_s_per_token: Stats | None = None
    generate_s: Stats | None = None
    wall_s: Stats | None = None
    media_s: Stats | None = None
    end_to_end_s: Stats | None = None
    processor_s: Stats | None = None
    transfer_s: Stats | None = None
    tower_s: Stats | None = None
    projector_s: Stats | None = None
    drop_s: Stats | None = None
    host_wait_s: Stats | None = field(default=None, metadata=ADDED)

    @property
    def launch_bound(self) -> bool | None:
        """Whether the GPU waited for launches while decoding eagerly; ``None`` if unknown."""
        wait, token = self.host_wait_s, self.decode_s_per_token
        if wait is None or token is None:
            return None
        return wait.median < LAUNCH_BOUND_BELOW * token.median


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory pass of one arm; activations are the allocator's peak over weights and cache."""

    weights_bytes: int | None = None
    kv_cache_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    nvml_used_bytes: int | None = None
    rss_peak_bytes: int | None = None
    activation_bytes: int | None = field(default=None, metadata=ADDED)

    @property
    def peak_bytes(self) -> int | None:
        """The peak this device can tell: allocator peak on a GPU, else resident set size."""
        found = self.peak_allocated_bytes
        return self.rss_peak_bytes if found is None else found

    @property
    def peak_kind(self) -> str:
        """Which peak :attr:`peak_bytes` is, in words."""
        if self.peak_allocated_bytes is not None:
            return "GPU allocator"
        return "process RSS" if self.rss_peak_bytes is not None else "not measured"


@dataclass(frozen=True, slots=True)
class Limit:
    """What the decoder's work costs at least, from shapes and the token counts of each layer.

    Attributes:
        prefill_flops: of the matrix products of one prefill, language head included.
        prefill_bytes: weights read once, keys and values written once.
        decode_flops_per_token: of the first token after the prefill.
        decode_bytes_per_token: weights and keys and values read once for it.
        decode_floor_s_per_token: those bytes over the memory's bandwidth; ``None`` where that
            is not known.
    """

    prefill_flops: int
    prefill_bytes: int
    decode_flops_per_token: int
    decode_bytes_per_token: int
    decode_floor_s_per_token: float | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One way of running the model: dense, or one method at one schedule.

    Attributes:
        capture_s: recording the compiled decoding, once; in no other time. ``None`` for eager.
    """

    label: str
    method: str | None
    schedule: str | None
    answer: Answer
    vision_tokens: int
    layer_average_vision_tokens: float
    drops: tuple[Drop, ...]
    timing: Timing
    memory: Memory
    energy_j: float | None = None
    limit: Limit | None = None
    capture_s: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the reference arm; every ratio above 1 is better than the reference.

    Attributes:
        ideal_prefill_speedup: prefill FLOPs of the reference over those of the arm.
        realised_over_ideal: the measured prefill speed-up as a share of that.
    """

    arm: str
    reference: str
    prefill_speedup: Ratio | None
    decode_speedup: Ratio | None
    generate_speedup: Ratio | None
    peak_memory_ratio: float | None
    kv_cache_ratio: float | None
    answers_identical: bool
    token_agreement: float
    first_divergence: int | None
    ideal_prefill_speedup: float | None = None
    realised_over_ideal: float | None = None


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a method's scoring costs: its prefill less that of random selection.

    Attributes:
        arm: the method's arm.
        random_arm: random selection at the same schedule: the same dropping, no scoring.
        prefill_s: median of the paired differences, in seconds; below 0 within noise.
        ci95: its bootstrap interval.
        share_of_dense_prefill: the median as a share of the dense prefill's median.
    """

    arm: str
    random_arm: str
    prefill_s: float
    ci95: tuple[float, float] | None
    share_of_dense_prefill: float


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
class Caveat:
    """Something the reader of a number must know. A value, not a print."""

    code: str
    message: str


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
    """What was asked for, resolved; ``repeats`` is ``None`` where no number was."""

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


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one command measured."""

    environment: dict[str, Any]
    request: Request
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    null_comparison: Comparison | None = None
    warnings: tuple[Caveat, ...] = field(default=())
    protocol: Protocol | None = None

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
