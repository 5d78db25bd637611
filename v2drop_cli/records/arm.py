"""What was measured of one arm, and of one arm against another: frozen and torch-free.

Field names carry their unit (``_s`` seconds, ``_bytes``, ``_j`` joules). Not measured is ``None``,
never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from v2drop_cli.records.verdicts import FASTER, SLOWER, Verdict

DENSE = "dense"
# The method that every other has to beat: it drops as much, and looks at nothing.
RANDOM = "random"
PROCESS_RSS = "process RSS"
# In ``ArmResult.solved``: not a parameter was found for the budget, but the drops.
SCHEDULE = "schedule"
# Fields added after schema 1 shipped; older files may lack them.
ADDED = {"added": True}
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

    def scaled(self, factor: float) -> Ratio:
        """Ratio and interval times an exact number.

        >>> Ratio(2.0, (1.0, 3.0)).scaled(0.5), Ratio(2.0).scaled(0.5)
        (Ratio(median=1.0, ci95=(0.5, 1.5)), Ratio(median=1.0, ci95=None))
        """
        ends = self.ci95 and (self.ci95[0] * factor, self.ci95[1] * factor)
        return Ratio(self.median * factor, ends)


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
        sources: per batch row and kept token, the prompt positions of the other tokens that were
            merged into it at this drop; ``None`` where nothing was merged, or the method did not
            say.
    """

    layer: int
    before: int
    after: int
    kept: tuple[tuple[int, ...], ...]
    sources: tuple[tuple[tuple[int, ...], ...], ...] | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Movement:
    """How the layer before a drop moved the vision tokens of one row (``profile --explain``).

    The update of a token is what that layer added to it: ``h_L - h_(L-1)`` for a drop at layer L.

    Attributes:
        layer: the drop layer L.
        tokens: vision tokens alive before the drop.
        shared_update: length of the mean update, over the mean length of the updates. 1: all
            tokens moved by the same vector; about ``1 / sqrt(tokens)``: each in a direction of its
            own. ``None`` where no token moved.
        score_gini: Gini coefficient of the method's scores. 0: all tokens score the same; near 1:
            a few tokens have all of the score. ``None`` where all scores are 0.
    """

    layer: int
    tokens: int
    shared_update: float | None
    score_gini: float | None


@dataclass(frozen=True, slots=True)
class Timing:
    """Stages of one answer. ``records/metrics.py`` says which of them add up to which.

    Attributes:
        preprocess_s: processor and transfer to the device, wall clock.
        vision_s: from the start of the forward to the language model's first layer.
        prefill_s: from there to the first new token.
        generate_s: from the start of the forward to the last token, on the device's timeline.
        wall_s: the same on the host's clock.
        media_s: decoding the media files, once a round for all arms.
        end_to_end_s: media, preprocess and ``wall_s`` together.
        processor_s: of ``preprocess_s``, the processor's part.
        transfer_s: of ``preprocess_s``, the transfer to the device.
        tower_s: of ``vision_s``, the vision tower's part, where the family says where it is.
        projector_s: of ``vision_s``, the projector's part, likewise.
        drop_s: of ``prefill_s``, scoring and gathering; ``None`` for dense.
        merging_s: of ``vision_s``, the rest: embedding the text, putting the vision tokens in.
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
    merging_s: Stats | None = field(default=None, metadata=ADDED)

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
        return PROCESS_RSS if self.rss_peak_bytes is not None else "not measured"


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
        method: the method's name, without its parameters; ``None`` for dense.
        capture_s: recording the compiled decoding, once; in no other time. ``None`` for eager.
        parameters: all parameters of the method by name, also those at their defaults; empty for
            a method without any, and for dense.
        movements: one for each drop layer of a method that scores by movement, where
            ``--explain`` asked for them; else empty.
        budget: the layer average that was asked for, as typed; ``None`` where none was.
        solved: what prefills of the prompt found to come near that: names of ``parameters``, or
            ``schedule``. They are no part of what was asked, and differ a little from run to run.
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
    parameters: dict[str, Any] = field(default_factory=dict, metadata=ADDED)
    movements: tuple[Movement, ...] = field(default=(), metadata=ADDED)
    budget: str | None = field(default=None, metadata=ADDED)
    solved: tuple[str, ...] = field(default=(), metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the reference arm; every ratio above 1 is better than the reference.

    Attributes:
        ideal_prefill_speedup: prefill FLOPs of the reference over those of the arm.
        realised_over_ideal: the measured prefill speed-up as a share of that.
        verdicts: one per ratio that is known, in the order of the fields; empty before
            ``judge`` saw it.
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
    verdicts: tuple[Verdict, ...] = field(default=(), metadata=ADDED)

    def verdict(self, metric: str) -> Verdict | None:
        """The verdict on ``metric``, or ``None`` where there is none."""
        return next((found for found in self.verdicts if found.metric == metric), None)

    @property
    def speed(self) -> str | None:
        """``faster`` or ``slower``: the whole generation, or where that shows neither, the prefill.

        ``None`` where neither of them shows a difference.
        """
        for metric in ("generate_speedup", "prefill_speedup"):
            found = self.verdict(metric)
            if found is not None and found.verdict in (FASTER, SLOWER):
                return found.verdict
        return None


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a method's scoring costs: its prefill less that of random selection.

    Attributes:
        arm: the method's arm.
        random_arm: random selection at the same schedule: the same dropping, no scoring.
        prefill_s: median of the paired differences, in seconds; below 0 within noise.
        ci95: its bootstrap interval.
        share_of_dense_prefill: the median as a share of the dense prefill's median.
        verdict: whether the interval tells it from nothing; ``None`` before ``judge`` saw it.
    """

    arm: str
    random_arm: str
    prefill_s: float
    ci95: tuple[float, float] | None
    share_of_dense_prefill: float
    verdict: Verdict | None = field(default=None, metadata=ADDED)
