"""What ``v2drop sweep`` found: every arm at every size, how it grows, and what fits.

``Sweep.to_json()`` is the document of ``v2drop sweep --json`` (``v2drop.sweep/1``).
Not measured is ``None``, never 0.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from v2drop_cli.records.arm import Comparison, Limit, Memory, Ratio, Stats
from v2drop_cli.records.caveats import Caveat
from v2drop_cli.records.report import UNFINISHED, Request
from v2drop_cli.records.verdicts import Verdict

SCHEMA = "v2drop.sweep/1"

# What may grow.
FRAMES, IMAGE_SIZE, BATCH_SIZE, TEXT_TOKENS = DIMENSIONS = (
    "frames",
    "image_size",
    "batch_size",
    "text_tokens",
)
# What an exponent is against.
VISION_TOKENS, ROWS, PROMPT_TOKENS = "vision_tokens", "rows", "prompt_tokens"
AXES = {
    FRAMES: VISION_TOKENS,
    IMAGE_SIZE: VISION_TOKENS,
    BATCH_SIZE: ROWS,
    TEXT_TOKENS: PROMPT_TOKENS,
}
# What became of an arm at a size: timed; the device had no room; the prediction is over the limit;
# it had no room at a smaller size already.
MEASURED, OUT_OF_MEMORY, OVER_LIMIT, ENDED = OUTCOMES = (
    "measured",
    "out_of_memory",
    "over_limit",
    "ended",
)
# How the largest size was found: by running the model, or from shapes alone.
BY_TRYING, BY_PREDICTION = "trying", "prediction"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that a prompt is predicted to need, from shapes.

    Attributes:
        weights_bytes: parameters and buffers.
        kv_cache_bytes: keys and values of the prompt and of the new tokens.
        activation_bytes: the prompt's tensors, and the widest moment of tower or decoder.
        process_bytes: of the process before the prompt, beside the weights; 0 on a GPU.
    """

    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    process_bytes: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        parts = (self.weights_bytes, self.kv_cache_bytes, self.activation_bytes)
        return sum(parts) + self.process_bytes


@dataclass(frozen=True, slots=True)
class Point:
    """One arm at one size.

    Attributes:
        size: frames, pixels of a side, rows or text tokens, whichever grows.
        outcome: one of :data:`OUTCOMES`.
        message: why it was not measured; ``None`` where it was.
        rows: of the batch.
        prompt_tokens: of one row, vision tokens among them, before anything is dropped.
        vision_tokens: of one row, likewise.
        rounds: valid rounds that the times are of.
        tokens_per_s: new tokens of all rows a second, while decoding.
        requests_per_s: rows a second of a whole generation, vision tower and prefill included.
        comparison: against the first arm at this size; ``None`` for that arm itself.
        predicted: memory from shapes; ``None`` where these do not tell.
        limit: the least work, from shapes.
    """

    size: int
    outcome: str
    message: str | None
    rows: int
    prompt_tokens: int
    vision_tokens: int
    layer_average_vision_tokens: float | None = None
    rounds: int = 0
    vision_s: Stats | None = None
    prefill_s: Stats | None = None
    decode_s_per_token: Stats | None = None
    generate_s: Stats | None = None
    wall_s: Stats | None = None
    tokens_per_s: float | None = None
    requests_per_s: float | None = None
    memory: Memory | None = None
    predicted: Footprint | None = None
    limit: Limit | None = None
    comparison: Comparison | None = None

    @property
    def measured(self) -> bool:
        """Whether it was timed."""
        return self.outcome == MEASURED

    @property
    def prefill(self) -> float | None:
        """Seconds, the median."""
        return None if self.prefill_s is None else self.prefill_s.median

    @property
    def decode(self) -> float | None:
        """Seconds a token, the median."""
        return None if self.decode_s_per_token is None else self.decode_s_per_token.median

    @property
    def peak_bytes(self) -> int | None:
        """The peak that this device can tell."""
        return None if self.memory is None else self.memory.peak_bytes

    @property
    def kv_cache_bytes(self) -> int | None:
        """Of the cache."""
        return None if self.memory is None else self.memory.kv_cache_bytes

    @property
    def weights_bytes(self) -> int | None:
        """Of the weights."""
        return None if self.memory is None else self.memory.weights_bytes

    @property
    def predicted_bytes(self) -> int | None:
        """All that is predicted."""
        return None if self.predicted is None else self.predicted.total

    @property
    def prefill_flops(self) -> int | None:
        """Of the prefill in the decoder, from shapes."""
        return None if self.limit is None else self.limit.prefill_flops


@dataclass(frozen=True, slots=True)
class Slope:
    """An exponent: ``y`` grows as ``x ** exponent``, by least squares over the logarithms.

    Attributes:
        ci95: its interval, from how far the sizes lie off the line; ``None`` for two sizes, which
            always lie on one.
    """

    exponent: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Growth:
    """How one arm grows.

    Attributes:
        sizes: the sizes that it was measured at.
        prefill_time: of the median prefill.
        prefill_flops: of the prefill's arithmetic in the decoder, from shapes.
        peak_memory: of the whole peak, weights included.
        memory_over_weights: of the peak less the weights (and on a CPU less the process itself).
    """

    sizes: tuple[int, ...]
    prefill_time: Slope | None
    prefill_flops: Slope | None
    peak_memory: Slope | None
    memory_over_weights: Slope | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The largest size that fits, found by bisection over whole numbers.

    Attributes:
        by: ``trying`` (the model ran) or ``prediction``.
        size: the largest that fits; ``None`` where not even the smallest there is does.
        bytes: at that size, measured or predicted, as ``by`` says.
        next_size: the smallest that does not fit; ``None`` where all up to ``most`` do.
        most: the largest size that was looked at: of a video, all of its frames.
        predicted_size: the same as ``size``, from shapes alone.
        measured_bytes: the peak of a run at ``size``; ``None`` where it was not run.
        unchecked: why a size found by prediction was not run; else ``None``.
    """

    limit_bytes: int
    by: str
    size: int | None
    bytes: int | None
    next_size: int | None
    most: int
    predicted_size: int | None
    measured_bytes: int | None
    unchecked: str | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm over all sizes.

    Attributes:
        points: one per size, in order; fewer of a sweep that was interrupted.
    """

    label: str
    method: str | None
    points: tuple[Point, ...]
    growth: Growth | None = None
    capacity: Capacity | None = None

    @property
    def measured(self) -> tuple[Point, ...]:
        """The points that were timed."""
        return tuple(point for point in self.points if point.measured)


@dataclass(frozen=True, slots=True)
class Best:
    """Requests a second of one arm at the batch size where it has the most.

    Attributes:
        gain: over the first arm at that one's own best size; ``None`` for the first arm.
        verdict: whether the interval tells the gain from none.
    """

    arm: str
    size: int
    requests_per_s: float
    gain: Ratio | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Everything one sweep measured.

    Attributes:
        dimension: what grows, one of :data:`DIMENSIONS`.
        sizes: as asked for, growing.
        axis: what the exponents are against.
        request: of the first size; what grows is there at its first value.
        max_memory_bytes: as asked for; ``None``: the device's own.
        curves: the first is dense.
        throughput: of each arm, where the batch grows.
        stopped_by: ``sizes`` (all were measured), ``interrupted``, or ``running`` in a draft.
    """

    environment: dict[str, Any]
    request: Request
    dimension: str
    sizes: tuple[int, ...]
    axis: str
    max_memory_bytes: int | None
    precision: float
    max_time_s: float
    curves: tuple[Curve, ...]
    throughput: tuple[Best, ...]
    stopped_by: str
    partial: bool
    warnings: tuple[Caveat, ...]
    summary: str | None = None
    command: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The ``v2drop.sweep/1`` document."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def dumps(self) -> str:
        """The document as text; no NaN (that would not be JSON)."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)


def unfinished(stopped_by: str) -> bool:
    """Whether sizes that were asked for are missing."""
    return stopped_by in UNFINISHED
