"""One prompt at many sizes: what is shown at each, which arms there are, what they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.budgets import takes_trying
from v2drop_cli.bench.passes import Subject
from v2drop_cli.measure.footprint import Load, footprint
from v2drop_cli.media import Media
from v2drop_cli.methods.registry import ALL, get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.tiles import shapes_only
from v2drop_cli.records import EAGER
from v2drop_cli.records.curves import Footprint


@dataclass(frozen=True, slots=True)
class Shown:
    """What one size looks like: media or made-up ones, and how many rows of them."""

    media: Sequence[Media]
    synthetic: SyntheticInput | None = None
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Growing:
    """What grows.

    Attributes:
        dimension: one of :data:`~v2drop_cli.records.curves.DIMENSIONS`.
        sizes: to measure at, the smallest first.
        shown: what there is to see at a size.
        most: the largest size that can be shown.
    """

    dimension: str
    sizes: tuple[int, ...]
    shown: Callable[[int], Shown]
    most: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a prompt, without the numbers in it.

    Attributes:
        tensors: on no device: they have a shape and a type.
        vision_tokens: before anything is dropped.
    """

    tensors: Mapping[str, Tensor]
    vision_tokens: int

    @property
    def length(self) -> int:
        """Tokens, vision tokens among them."""
        return int(self.tensors["input_ids"].shape[1])


@dataclass(frozen=True, slots=True)
class Sizes:
    """One model and one prompt at growing sizes.

    Attributes:
        arms: what was asked for; an arm of one name has other drops at other sizes.
        new_tokens: of each timed generation.
        decode: how these decode.
    """

    loaded: LoadedModel
    growing: Growing
    prompt: str
    arms: ArmOptions
    new_tokens: int
    decode: str = EAGER
    _rows: dict[tuple[object, ...], Row] = field(default_factory=dict)

    def subject(self, size: int) -> Subject:
        """The prompt at ``size``."""
        shown = self.growing.shown(size)
        return Subject(
            self.loaded,
            shown.media,
            self.prompt,
            shown.rows,
            synthetic=shown.synthetic,
            decode=self.decode,
        )

    def row(self, size: int) -> Row:
        """One row of it. Made-up pixels are not made for that."""
        subject = self.subject(size)
        key = (subject.synthetic, *(item.record for item in subject.media))
        if key not in self._rows:
            with shapes_only():
                inputs = replace(subject, batch_size=1).prepare()
            tensors = {name: tensor.to("meta") for name, tensor in inputs.tensors.items()}
            self._rows[key] = Row(tensors, sum(inputs.vision.counts))
        return self._rows[key]

    def check(self) -> None:
        """Refuse schedules that do not fit a size before hours have gone into the others.

        Raises:
            ScheduleError: one does not.
            MediaArgumentError: the model takes no media of a size.
        """
        for size in self.growing.sizes:
            tokens = self.row(size).vision_tokens
            for text in self.arms.methods:
                if text != ALL:  # of these, what does not fit is left out later
                    self.arms.of(get_method(text), self.loaded, tokens)

    def arm(self, known: Arm, size: int) -> Arm:
        """The arm of that name at ``size``: budgets come to other drops with each prompt.

        Thresholds that prefills found for a budget stay those of the prompt they were found for.
        """
        if known.method is None or takes_trying(known):
            return known
        there = self.arms.of(get_method(known.method), self.loaded, self.row(size).vision_tokens)
        return next((arm for arm in there if arm.label == known.label), known)

    def predicted(self, known: Arm, size: int, process_bytes: int = 0) -> Footprint | None:
        """The memory that an arm needs at ``size``, from shapes.

        ``None`` for a method that chooses its counts itself: only running it tells them.
        """
        loaded, row = self.loaded, self.row(size)
        arm = self.arm(known, size)
        counts: Sequence[int] = (row.vision_tokens,) * loaded.n_layers
        if arm.method is not None and arm.schedule is not None:
            if get_method(arm.method).chooses_count:
                return None
            first, _ = loaded.droppable
            counts = arm.schedule.resolve(row.vision_tokens, loaded.n_layers, first).counts
        columns = [row.length - row.vision_tokens + count for count in counts]
        rows = self.growing.shown(size).rows
        return footprint(loaded, Load(row.tensors, columns, rows, self.new_tokens), process_bytes)
