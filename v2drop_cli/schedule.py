"""Where to drop and how much to keep: ``Drop``, ``Schedule``, ``DropPlan``, presets.

Text form: ``LAYER:KEEP[,LAYER:KEEP…]``, layers from 0. ``KEEP`` is the share of the vision
tokens *still alive at that layer* that stays (``0.5`` or ``50%``), or a count with a ``t``
suffix (``22:1t``). The kept count is ``int(alive * keep)``, as in the authors' code.

    >>> Schedule.parse("3:50%,17:0.3,22:1t").resolve(576, n_layers=32).counts[::8]
    (576, 288, 288, 1)
    >>> Schedule.parse("3:0.5,17:0.5,22:1t").resolve(576, n_layers=32).layer_average
    202.8125
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

from v2drop_cli.errors import ScheduleError, short, unknown_name

GRAMMAR_HINT = "write LAYER:KEEP[,LAYER:KEEP…], for example 3:0.5,17:30%,22:1t"
# Depth-relative drop layers for a model without a preset of its own: the paper's 3/17/22 of 32.
REFERENCE_DEPTH = 32
REFERENCE_LAYERS = (3, 17, 22)


@dataclass(frozen=True, slots=True)
class Drop:
    """Shorten the input of decoder layer ``layer``.

    Attributes:
        layer: from 0, at which the decoder's input itself is shortened, before any layer has run.
        keep: share of the alive vision tokens that stays, in [0, 1]; ``None`` if a count is given.
        count: how many stay at most; ``None`` if a share is given.
    """

    layer: int
    keep: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None and not isinstance(self.count, int):
            raise ScheduleError(f"cannot keep {self.count} tokens", hint="a count is an integer")
        if self.layer < 0:
            raise ScheduleError(f"layer {self.layer} is negative", hint="layers count from 0")
        if (self.keep is None) == (self.count is None):
            raise ScheduleError("a drop takes a share or a count", hint=GRAMMAR_HINT)
        if self.keep is not None and not (0.0 <= self.keep <= 1.0):  # NaN fails this too
            raise ScheduleError(
                f"keep ratio {self.keep:g} is outside 0 to 1",
                hint="0.5 or 50% keeps half of the tokens still alive; 64t keeps 64 tokens",
            )
        if self.count is not None and self.count < 0:
            raise ScheduleError(f"cannot keep {self.count} tokens", hint=GRAMMAR_HINT)

    def kept(self, alive: int) -> int:
        """How many of ``alive`` vision tokens stay: never more than there are."""
        if self.count is not None:
            return min(alive, self.count)
        assert self.keep is not None
        return int(alive * self.keep)

    def __str__(self) -> str:
        if self.keep is None:
            return f"{self.layer}:{self.count}t"
        short = f"{self.keep:g}"
        return f"{self.layer}:{short if float(short) == self.keep else repr(self.keep)}"


@dataclass(frozen=True, slots=True)
class DropPlan:
    """A schedule applied to one prompt.

    Attributes:
        counts: vision tokens that each decoder layer processes, one entry per layer.

    >>> DropPlan((4, 4, 2, 1)).layer_average
    2.75
    """

    counts: tuple[int, ...]

    @classmethod
    def realised(cls, n_vision: int, n_layers: int, kept: Mapping[int, int]) -> DropPlan:
        """What happened: of ``n_vision`` tokens, ``kept[layer]`` were left at each drop layer.

        >>> DropPlan.realised(4, 4, {2: 3, 3: 1}).counts
        (4, 4, 3, 1)
        """
        counts = [n_vision]
        for layer in range(n_layers):
            counts.append(kept.get(layer, counts[-1]))
        return cls(tuple(counts[1:]))

    @property
    def layer_average(self) -> float:
        """Mean over decoder layers of the vision tokens processed: the paper's budget measure."""
        return sum(self.counts) / len(self.counts)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Drops in layer order. ``str(schedule)`` parses back to an equal schedule.

    Attributes:
        drops: in layer order, each layer once.
        moved_from: the layers that the method drops at by itself, where these could not meet a
            budget and the drops are at earlier ones. Says nothing of what is dropped.
    """

    drops: tuple[Drop, ...]
    moved_from: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.drops:
            raise ScheduleError("the schedule is empty", hint=GRAMMAR_HINT)
        layers = [drop.layer for drop in self.drops]
        for previous, layer in pairwise(layers):
            if layer == previous:
                raise ScheduleError(f"layer {layer} drops twice", hint="give each layer one KEEP")
            if layer < previous:
                raise ScheduleError(
                    f"layer {layer} comes after layer {previous}",
                    hint="list the drops in layer order: KEEP is of the tokens still alive there",
                )

    @classmethod
    def parse(cls, text: str | Schedule) -> Schedule:
        """Read the text form. Raises :class:`ScheduleError` with what is wrong and the grammar."""
        if isinstance(text, Schedule):
            return text
        if not isinstance(text, str):
            raise ScheduleError(f"{text!r} is no schedule", hint=GRAMMAR_HINT)
        items = [item.strip() for item in text.split(",")]
        if not any(items):
            raise ScheduleError("the schedule is empty", hint=GRAMMAR_HINT)
        return cls(tuple(_parse_drop(item, text) for item in items))

    @classmethod
    def from_lists(cls, layers: Sequence[int], keeps: Sequence[str]) -> Schedule:
        """``--layers 3,17 --ratios 0.5,0.25`` is ``3:0.5,17:0.25``."""
        if len(layers) != len(keeps):
            raise ScheduleError(
                f"{len(layers)} layers but {len(keeps)} ratios",
                hint="give one ratio per layer, in the same order",
            )
        pairs = zip(layers, keeps, strict=True)
        return cls.parse(",".join(f"{layer}:{keep}" for layer, keep in pairs))

    def check(
        self,
        n_layers: int,
        first_droppable: int = 0,
        last_droppable: int | None = None,
        why: str = "",
    ) -> None:
        """Raise :class:`ScheduleError` unless every drop fits a decoder of ``n_layers``.

        Args:
            n_layers: decoder layers.
            first_droppable: the first layer whose input may be shortened.
            last_droppable: the last such layer, ``None`` for the decoder's last.
            why: what a message says of the layers before the first one.
        """
        last = n_layers - 1 if last_droppable is None else last_droppable
        for at in (drop.layer for drop in self.drops if not first_droppable <= drop.layer <= last):
            if at >= n_layers:
                wrong = f"layer {at} does not exist: the decoder has layers 0 to {n_layers - 1}"
            elif at > last:
                wrong = f"cannot drop after layer {last} (asked: {at}): later layers use its keys"
            else:
                early = f"this model cannot drop before layer {first_droppable} (asked: {at})"
                wrong = f"{early}: {why}" if why else early
            raise ScheduleError(wrong, hint=f"drop at layers {first_droppable} to {last}")

    def resolve(self, n_vision: int, n_layers: int, first_droppable: int = 0) -> DropPlan:
        """The token counts for ``n_vision`` vision tokens and a decoder of ``n_layers``."""
        self.check(n_layers=n_layers, first_droppable=first_droppable)
        kept_at = {drop.layer: drop for drop in self.drops}
        alive, counts = n_vision, []
        for layer in range(n_layers):
            alive = kept_at[layer].kept(alive) if layer in kept_at else alive
            counts.append(alive)
        return DropPlan(tuple(counts))

    def __str__(self) -> str:
        return ",".join(map(str, self.drops))


def _parse_drop(item: str, whole: str) -> Drop:
    match = re.fullmatch(r"([+-]?\d{1,6})\s*:\s*(\S+)", item)
    if match is None:
        said = f"cannot read {short(item)!r} in schedule {short(whole)!r}"
        raise ScheduleError(said, hint=GRAMMAR_HINT)
    layer, keep = int(match[1]), match[2]
    if re.fullmatch(r"[+-]?\d{1,9}t", keep):
        return Drop(layer, count=int(keep[:-1]))
    return Drop(layer, keep=parse_share(keep))


def parse_share(text: str) -> float:
    """``0.5`` or ``50%`` → 0.5. Raises :class:`ScheduleError`, for NaN and outside 0 to 1 too."""
    percent = text.endswith("%")
    try:
        value = float(text[:-1] if percent else text)
    except ValueError:
        raise ScheduleError(f"{text!r} is no keep ratio", hint=GRAMMAR_HINT) from None
    if percent:  # in decimals: 2.8 / 100 is a little less than 0.028, and would keep one fewer
        value = float(Decimal(text[:-1]) / 100)
    if not (0.0 <= value <= 1.0):
        raise ScheduleError(
            f"keep ratio {text} is outside 0 to 1",
            hint="0.5 or 50% keeps half of the tokens still alive; 64t keeps 64 tokens",
        )
    return value


# Presets -------------------------------------------------------------------------------------

# For decoders of REFERENCE_DEPTH layers (arXiv 2509.01552, Table 1 for LLaVA-1.5-7B);
# `official-code` is what the authors' repository runs, which is none of the paper's budgets.
PRESETS: dict[str, str] = {
    "paper-192": "3:0.5,17:0.3,22:0",
    "paper-128": "3:0.28,17:0.25,22:0",
    "paper-64": "3:0.05,17:0.05,22:0",
    "official-code": "3:0.5,17:0.5,22:1t",
}
DEFAULT_PRESET = "paper-192"


def scale_layers(
    layers: Sequence[int],
    n_layers: int,
    first_droppable: int = 0,
    written_for: int = REFERENCE_DEPTH,
) -> list[int]:
    """The same relative depths in a decoder of ``n_layers``, strictly increasing.

    Layer 0 is the decoder's input at every depth, and what is deeper stays deeper than that.

    >>> scale_layers((3, 17, 22), 32), scale_layers((3, 17, 22), 12)
    ([3, 17, 22], [1, 6, 8])
    """
    scaled: list[int] = []
    for layer in layers:
        lowest = scaled[-1] + 1 if scaled else max(first_droppable, min(layer, 1))
        scaled.append(max(lowest, round(layer * n_layers / written_for)))
    return [layer for layer in scaled if layer < n_layers]


def preset(
    name: str,
    presets: Mapping[str, str],
    n_layers: int,
    first_droppable: int = 0,
    written_for: int = REFERENCE_DEPTH,
) -> Schedule:
    """The preset ``name``: the family's own for this depth, else scaled by depth.

    Args:
        name: a key of ``presets``.
        presets: text schedules.
        n_layers: decoder layers of the model.
        first_droppable: the family's first droppable layer.
        written_for: decoder layers that the presets are written for.
    """
    if name not in presets:
        raise unknown_name("preset", name, presets)
    drops = Schedule.parse(presets[name]).drops
    layers = scale_layers([drop.layer for drop in drops], n_layers, first_droppable, written_for)
    return Schedule(
        tuple(
            Drop(layer, drop.keep, drop.count) for layer, drop in zip(layers, drops, strict=False)
        )
    )


# Budgets -------------------------------------------------------------------------------------


def solve_budget(
    budget: float,
    *,
    n_vision: int,
    n_layers: int,
    layers: Sequence[int],
    empties: bool = True,
) -> Schedule:
    """A schedule whose layer average is ``budget`` tokens, to within half a token.

    Every drop keeps the same share of what is alive. As in V2Drop's paper, the last of three or
    more drops takes the rest, as long as the budget allows it; a budget above that keeps some at
    the last one too. Counts are absolute (``3:283t``), because a budget is a count.

    Args:
        budget: wanted mean over layers of the vision tokens processed.
        n_vision: vision tokens of the prompt.
        n_layers: decoder layers.
        layers: layers to drop at, increasing, each in 0..n_layers-1.
        empties: whether the last of three or more drops may take the rest.

    Raises:
        ScheduleError: if no schedule with these layers meets the budget.
    """
    Schedule(tuple(Drop(layer, 1.0) for layer in layers)).check(n_layers=n_layers)
    if not math.isfinite(budget) or budget < 0:
        raise ScheduleError(f"a budget of {budget:g} tokens means nothing", hint="give 0 or more")
    lowest = n_vision * layers[0] / n_layers
    if budget > n_vision or budget < lowest - 0.5:
        raise ScheduleError(
            f"a budget of {budget:g} cannot be met: with the first drop at layer {layers[0]} of "
            f"{n_layers}, the layer average of {n_vision} vision tokens can be "
            f"{math.ceil(lowest)} to {n_vision}",
            hint="change the budget, or move the first drop with --layers",
        )

    def spread(ratio: float, last_drops_all: bool) -> list[float]:
        counts = [n_vision * ratio ** (i + 1) for i in range(len(layers))]
        return [*counts[:-1], 0.0] if last_drops_all else counts

    spans = [b - a for a, b in zip(layers, [*layers[1:], n_layers], strict=True)]

    def total(counts: Sequence[float]) -> float:
        pairs = zip(counts, spans, strict=True)
        return n_vision * layers[0] + sum(count * span for count, span in pairs)

    wanted = budget * n_layers
    last_drops_all = empties and len(layers) >= 3 and total(spread(1.0, True)) >= wanted
    low, high = 0.0, 1.0
    for _ in range(60):
        ratio = (low + high) / 2
        low, high = (ratio, high) if total(spread(ratio, last_drops_all)) < wanted else (low, ratio)
    counts = [round(count) for count in spread(high, last_drops_all)]
    adjustable = len(counts) - last_drops_all
    _settle(counts, spans[:adjustable], wanted - n_vision * layers[0], n_vision)
    return Schedule(
        tuple(Drop(layer, count=count) for layer, count in zip(layers, counts, strict=True))
    )


def _settle(counts: list[int], spans: Sequence[int], wanted: float, n_vision: int) -> None:
    """Move single tokens, in place, until rounding no longer costs half a token of average."""
    for place, span in sorted(enumerate(spans), key=lambda item: -item[1]):
        error = wanted - sum(c * s for c, s in zip(counts, spans, strict=False))
        above = counts[place - 1] if place else n_vision
        below = counts[place + 1] if place + 1 < len(counts) else 0
        counts[place] = min(above, max(below, counts[place] + round(error / span)))
