"""Every quantity that is measured or counted, one row each.

The rows of tables, the gates of ``profile`` and of ``compare``, the lines of CSV files and the
lists in the docs are read from here. A new quantity is measured somewhere, kept in a field of its
record, and gets one row here; a test fails where a field has none.

There are two kinds of row: a :class:`Metric` is of one arm, and may be held against the
reference's; a :class:`Pair` exists only between an arm and the reference.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from v2drop_cli.records.arm import ArmResult, Comparison, Ratio, Stats

Value = Stats | float | None


class Kind(enum.Enum):
    """How sure a value is of itself."""

    TIMED = "timed"
    """Sampled once a round, so that it has an interval."""
    READ = "read"
    """Read once: another reading would differ, and nothing here says by how much."""
    COUNTED = "counted"
    """Exact: the same in every run."""


class Place(enum.Enum):
    """Which part of the table of ``run`` and ``profile`` shows the row."""

    TIME = "time"
    MEMORY = "memory"
    GPU_MEMORY = "gpu memory"
    """Memory that only a GPU's driver and allocator tell; ``profile`` shows it."""
    ELSEWHERE = "elsewhere"
    """Not a plain row: worded on its own, or not shown at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One quantity of one arm. Of every one so far less is better.

    Attributes:
        name: in the gates and the JSON of ``compare``; no two rows have the same.
        label: of its row in a table.
        field: the field of ``Timing`` that holds its samples; ``None`` for what is not a time.
        unit: ``s``, ``bytes``, ``tokens``, ``flop`` or ``j``.
        kind: whether it is exact.
        of: where a value that is not a time is found, ``None`` where it was not measured.
        source: what the value was told by; two values of different sources are not compared.
        against: the field of ``Comparison`` that holds the reference's value over the arm's;
            also its name in a gate of ``profile``. ``None`` where the two are not compared.
        gate: the name of the arm's own value in a gate of ``profile``; ``None`` for no gate.
        compared: whether ``compare`` judges it between two reports and takes gates on it.
        place: where its row stands.
        part_of: the time that holds this one and more; only ``profile`` shows parts.
        adds_up: the times that add up to this one in each round; the time per token counts
            once for every token after the first.
    """

    name: str
    label: str
    field: str | None = None
    unit: str = "s"
    kind: Kind = Kind.TIMED
    of: Callable[[ArmResult], float | None] = lambda arm: None
    source: Callable[[ArmResult], str] = lambda arm: ""
    against: str | None = None
    gate: str | None = None
    compared: bool = False
    place: Place = Place.ELSEWHERE
    part_of: str | None = None
    adds_up: tuple[str, ...] = ()

    def samples(self, arm: ArmResult) -> Stats | None:
        """The samples of a time."""
        found: Stats | None = getattr(arm.timing, self.field) if self.field else None
        return found

    def ratio(self, found: Comparison) -> Ratio | float | None:
        """The reference's value over the arm's: above 1 the arm is better."""
        ratio: Ratio | float | None = getattr(found, self.against) if self.against else None
        return ratio

    def speedup(self, found: Comparison) -> Ratio | None:
        """The same for a time, whose ratio has an interval."""
        ratio = self.ratio(found)
        return ratio if isinstance(ratio, Ratio) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One quantity between an arm and the reference.

    Attributes:
        name: in a gate of ``profile``.
        kind: whether it is exact.
        of: its value, or ``None`` where it is not known.
        floor: the name of the metric whose noise floor it shares, as a multiple of what
            ``per`` says; ``None`` where it has none.
        per: what the ratio of that metric was divided by.
    """

    name: str
    kind: Kind
    of: Callable[[Comparison], Ratio | float | None]
    floor: str | None = None
    per: Callable[[Comparison], float | None] = lambda found: 1.0


def _realised(found: Comparison) -> Ratio | None:
    """As noisy as the speed-up it is made of, so with its interval: the ideal is a count."""
    speedup, ideal = found.prefill_speedup, found.ideal_prefill_speedup
    return speedup.scaled(1 / ideal) if speedup is not None and ideal else None


_time = partial(Metric, place=Place.TIME)
"""A row of the table of times."""

_TIMES = (
    _time(name="media", label="media decode", field="media_s"),
    _time(
        name="preprocess",
        label="preprocess",
        field="preprocess_s",
        adds_up=("processor", "transfer"),
    ),
    _time(name="processor", label="processor", field="processor_s", part_of="preprocess"),
    _time(name="transfer", label="transfer", field="transfer_s", part_of="preprocess"),
    _time(
        name="vision",
        label="vision",
        field="vision_s",
        compared=True,
        adds_up=("tower", "projector", "merging"),
    ),
    _time(name="tower", label="tower", field="tower_s", part_of="vision"),
    _time(name="projector", label="projector", field="projector_s", part_of="vision"),
    _time(name="merging", label="merging", field="merging_s", part_of="vision"),
    _time(
        name="prefill",
        label="prefill",
        field="prefill_s",
        compared=True,
        against="prefill_speedup",
    ),
    _time(name="drop", label="scoring, gathering", field="drop_s", part_of="prefill"),
    _time(
        name="first_token",
        label="to first token",
        field="time_to_first_token_s",
        compared=True,
        adds_up=("preprocess", "vision", "prefill"),
    ),
    _time(
        name="decode",
        label="decode per token",
        field="decode_s_per_token",
        compared=True,
        against="decode_speedup",
    ),
    _time(
        name="generate",
        label="generate",
        field="generate_s",
        compared=True,
        against="generate_speedup",
        adds_up=("vision", "prefill", "decode"),
    ),
    _time(name="wall", label="generate (host)", field="wall_s"),
    _time(
        name="end_to_end",
        label="end to end",
        field="end_to_end_s",
        compared=True,
        adds_up=("media", "preprocess", "wall"),
    ),
    Metric(name="host_wait", label="waiting for the GPU", field="host_wait_s", part_of="wall"),
)

_SIZES = (
    Metric(
        name="peak_memory",
        label="peak memory",
        unit="bytes",
        kind=Kind.READ,
        of=lambda arm: arm.memory.peak_bytes,
        source=lambda arm: arm.memory.peak_kind,
        against="peak_memory_ratio",
        gate="peak_bytes",
        compared=True,
    ),
    Metric(
        name="kv_cache",
        label="KV cache",
        unit="bytes",
        kind=Kind.COUNTED,
        of=lambda arm: arm.memory.kv_cache_bytes,
        against="kv_cache_ratio",
        gate="kv_cache_bytes",
        compared=True,
    ),
    Metric(
        name="weights",
        label="weights",
        unit="bytes",
        kind=Kind.COUNTED,
        of=lambda arm: arm.memory.weights_bytes,
        place=Place.GPU_MEMORY,
    ),
    Metric(
        name="activations",
        label="activations, at the peak",
        unit="bytes",
        kind=Kind.READ,
        of=lambda arm: arm.memory.activation_bytes,
        place=Place.GPU_MEMORY,
    ),
    Metric(
        name="peak_reserved",
        label="peak reserved",
        unit="bytes",
        kind=Kind.READ,
        of=lambda arm: arm.memory.peak_reserved_bytes,
        place=Place.GPU_MEMORY,
    ),
    Metric(
        name="nvml_used",
        label="in use, by NVML",
        unit="bytes",
        kind=Kind.READ,
        of=lambda arm: arm.memory.nvml_used_bytes,
        place=Place.GPU_MEMORY,
    ),
    Metric(
        name="energy",
        label="energy",
        unit="j",
        kind=Kind.READ,
        of=lambda arm: arm.energy_j,
        place=Place.MEMORY,
    ),
)

_COUNTS = (
    Metric(
        name="vision_tokens",
        label="vision tokens",
        unit="tokens",
        kind=Kind.COUNTED,
        of=lambda arm: arm.vision_tokens,
        gate="vision_tokens",
        compared=True,
    ),
    Metric(
        name="layer_average_vision_tokens",
        label="layer average",
        unit="tokens",
        kind=Kind.COUNTED,
        of=lambda arm: arm.layer_average_vision_tokens,
        gate="layer_average_vision_tokens",
        compared=True,
    ),
    Metric(
        name="last_vision_tokens",
        label="vision tokens, last layer",
        unit="tokens",
        kind=Kind.COUNTED,
        of=lambda arm: arm.drops[-1].after if arm.drops else arm.vision_tokens,
        gate="last_vision_tokens",
    ),
    Metric(
        name="prefill_flops",
        label="prefill work",
        unit="flop",
        kind=Kind.COUNTED,
        of=lambda arm: arm.limit.prefill_flops if arm.limit else None,
        against="ideal_prefill_speedup",
        gate="prefill_flops",
        compared=True,
    ),
)

METRICS: tuple[Metric, ...] = (*_TIMES, *_SIZES, *_COUNTS)

PAIRS: tuple[Pair, ...] = (
    Pair(
        name="realised_over_ideal",
        kind=Kind.TIMED,
        of=_realised,
        floor="prefill",
        per=lambda found: found.ideal_prefill_speedup,
    ),
    Pair(
        name="answers_identical",
        kind=Kind.COUNTED,
        of=lambda found: float(found.answers_identical),
    ),
    Pair(
        name="token_agreement",
        kind=Kind.COUNTED,
        of=lambda found: found.token_agreement,
    ),
)


def metric(name: str) -> Metric:
    """The row called ``name``."""
    return _BY_NAME[name]


_BY_NAME = {row.name: row for row in METRICS}
