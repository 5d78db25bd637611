"""What a method is: it says which vision tokens stay, and nothing else.

A new method is one file in this folder and one line in :mod:`v2drop_cli.methods.registry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from v2drop_cli.errors import InstrumentError, ScheduleError
from v2drop_cli.methods.shape import Shape
from v2drop_cli.methods.signal_protocols import Signals
from v2drop_cli.records import Caveat
from v2drop_cli.schedule import Schedule
from v2drop_cli.tensors import top_k

# The signals a method can ask for; the instrument records nothing that no method needs. Each is
# the name of what gives it in :class:`~v2drop_cli.methods.signal_protocols.Signals`.
HIDDEN = "hidden"
NORMED = "normed"
PREVIOUS_HIDDEN = "previous_hidden"
EMBEDDINGS = "embeddings"
TEXT = "text"
QUESTION = "input_ids"
GRIDS = "grids"
KEYS = "keys"
ATTENTION = "attention"
TOWER = "tower"
# Beside TOWER: the tower must have a class token, or the model is refused before anything runs.
CLASS_TOKEN = "class_token"

# Where tower signals are read: a block by number, what the projector is given, or what the tower
# returns.
TowerLayer = int | Literal["projector", "output"]

# Where survivors are to the layers after a drop: at the positions that they had in the prompt, or
# numbered anew, as if the dropped tokens had never been there.
Positions = Literal["original", "renumbered"]
ORIGINAL: Positions = "original"
RENUMBERED: Positions = "renumbered"


@dataclass(frozen=True, slots=True)
class DropContext:
    """One batch row at one drop layer.

    Attributes:
        layer: the drop layer, from 0.
        n_keep: how many vision tokens stay, 0 < n_keep < n; to a method that chooses its counts
            (:attr:`Method.chooses_count`) what the schedule says, 0 to n, is only told.
        positions: ``[n]`` long, prompt positions of the alive vision tokens; ascending, unless an
            earlier drop put them in another order (:attr:`Kept.in_order`).
        seed: for methods that draw at random; equal for all rows, so that a row's result
            does not depend on its neighbours.
        signals: hidden states and the like, each gathered on first use.
    """

    layer: int
    n_keep: int
    positions: Tensor
    seed: int
    signals: Signals


@dataclass(frozen=True, slots=True)
class Kept:
    """A method's verdict.

    Attributes:
        index: ``[k]`` long, which of the ``n`` alive tokens stay; k is ``n_keep`` unless the
            method chooses its counts.
        merged: ``[k, D]`` new hidden states for methods that merge, or ``None`` to keep theirs.
        sources: ``[n]`` long, of what the merged states are made: for each alive token the entry
            of ``index`` that it was merged into, ``-1`` for none. ``None`` where that cannot be
            said so, for example when every token goes into every other.
        in_order: survivors go on in the order of ``index``, for methods that move tokens: merged
            ones to the end, say. Otherwise in the order that they had.

    Of 5 tokens, 1 and 4 stay, and 4 takes in 2 and 3:

        Kept(index=[1, 4], merged=[h1, (h2 + h3 + h4) / 3], sources=[-1, -1, 1, 1, -1])
    """

    index: Tensor
    merged: Tensor | None = None
    sources: Tensor | None = None
    in_order: bool = False


@dataclass(frozen=True)
class Method:
    """Base of all methods: override :meth:`score`, or :meth:`select` where no score exists.

    A method is a frozen dataclass, and its fields are its parameters: ``--method name:key=value``
    sets the field ``key``. A field is an ``int``, ``float``, ``bool``, ``str`` or a ``Literal`` of
    strings, and has the published value as its default. ``__post_init__`` may refuse values by
    raising :class:`~v2drop_cli.errors.UsageError`. A method without parameters needs no
    ``@dataclass`` of its own.

    Attributes:
        name: as in ``--method``.
        paper: where the method is defined.
        needs: the signals that :meth:`score` reads.
        tower_layers: blocks of the vision tower that a method with :data:`TOWER` looks into,
            negative ones counted from the end; ``"projector"`` for what the projector is given,
            ``"output"`` for what the tower returns.
        merges_patches: the block of the vision tower whose input :meth:`merge_patches` shortens;
            it needs :data:`TOWER`, chooses its counts, and is asked for a drop at layer 0 whatever
            the schedule says: there it keeps what :meth:`TowerSignals.left` says.
        chooses_count: :meth:`select` keeps as many tokens as it likes, for example all above a
            threshold, or merged ones on top of the schedule's count. It is then asked at every
            drop of the schedule, and counts in reports are those that it chose. Where the number
            depends on values, finding it (``nonzero``) makes the host wait for the device.
        thresholds: names of the parameters that a method with ``chooses_count`` chooses by: the
            higher, the fewer tokens stay. A budget is met by scaling them all by one factor.
        positions: whether survivors keep their positions or are numbered anew. The instrument
            sees to it; every method has this parameter, by default what its authors do.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    tower_layers: ClassVar[tuple[TowerLayer, ...]] = ()
    merges_patches: ClassVar[int | None] = None
    chooses_count: ClassVar[bool] = False
    thresholds: ClassVar[tuple[str, ...]] = ()

    positions: Positions = field(default=ORIGINAL, kw_only=True)

    @property
    def parts(self) -> tuple[Method, ...]:
        """The methods that this one is composed of: itself, unless it is composed."""
        return (self,)

    def at(self, layer: int) -> Method:
        """The one of :attr:`parts` that chooses at ``layer``."""
        return self

    def scaled(self, factor: float) -> Self:
        """The same method with all of its :attr:`thresholds` times ``factor``.

        To four digits, so that what a report holds can be typed.
        """
        values: dict[str, Any] = {
            name: float(f"{factor * getattr(self, name):.4g}") for name in self.thresholds
        }
        return replace(self, **values)

    def check(self, schedule: Schedule) -> None:
        """Refuse a schedule that this method cannot follow.

        Raises:
            ScheduleError: it drops at layer 0, and the method compares with the layer before.
        """
        compares = PREVIOUS_HIDDEN in self.at(0).needs and self.at(0).merges_patches is None
        if schedule.drops[0].layer == 0 and compares:
            name = getattr(self, "name", type(self).__name__)
            raise ScheduleError(
                f"{name} cannot drop at layer 0: it compares with the layer before, and there is "
                "none",
                hint="start at layer 1, or use one that needs no earlier layer: random, uniform",
            )

    def check_model(self, config: Any) -> None:
        """Refuse a model by what its configuration says, before its weights are read.

        What :meth:`attach` and the instrument refuse by the model itself need not be here; what is
        here is told minutes earlier.

        Raises:
            V2DropError: the method cannot work in such a model.
        """

    def check_media(self, kinds: frozenset[str]) -> None:
        """Refuse a prompt by what it shows, ``image`` or ``video``, before a model is loaded.

        Raises:
            V2DropError: the method cannot work on that.
        """

    def positions_at(self, layer: int) -> Positions:
        """:attr:`positions` for survivors of the drop at ``layer``."""
        return self.positions

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """The method's own drops, where the user names none: by default V2Drop's.

        Args:
            budget: wanted layer average of vision tokens; ``None`` for the published default.
            shape: the model's depth and, with a budget, the prompt's vision tokens.

        Raises:
            ScheduleError: no drops of this method meet the budget.
        """
        return shape.preset() if budget is None else shape.solved(budget)

    def attach(self, model: Any, processor: Any) -> Method:
        """The method with what a decoder lacks, such as another model: by default itself.

        Called once when a context opens, outside of all that is timed. What it returns is asked in
        this context; its ``needs`` may be others.

        Args:
            model: the transformers model in which tokens will be dropped.
            processor: the model's, or ``None`` where ``dropping`` was given a bare model.

        Raises:
            UsageError: it needs a processor, and there is none.
        """
        return self

    def caveats(self) -> tuple[Caveat, ...]:
        """What the reader of this method's numbers must know, where that is not published."""
        return ()

    def merge_patches(self, states: Tensor, sides: tuple[int, int]) -> Kept:
        """Which patches ``[rows · columns, D]`` of a picture enter the block, in which order."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it merges")

    def score(self, ctx: DropContext) -> Tensor:
        """``[n]`` float32, higher stays."""
        raise NotImplementedError(f"{type(self).__name__} defines neither score nor select")

    def select(self, ctx: DropContext) -> Kept:
        """The ``n_keep`` best by score, in sequence order; ties go to the earlier token.

        Raises:
            InstrumentError: the scores are not one number for each token. Numbers are read only
                where reading does not wait for a device: on a GPU, NaN goes unseen.
        """
        scores, n, name = self.score(ctx), len(ctx.positions), type(self).__name__
        if not isinstance(scores, Tensor) or scores.shape != (n,):
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InstrumentError(
                f"{name}.score returned {found} for {n} tokens",
                hint=f"return a tensor of shape ({n},): one number a token, higher stays",
            )
        refuse_nan(self, scores)
        return Kept(top_k(scores, ctx.n_keep))


def refuse_nan(method: Method, scores: Tensor) -> None:
    """Raise for scores that are no numbers, where reading them does not wait for a device.

    Args:
        method: whose they are.
        scores: ``[n]``, one a token.
    """
    if scores.device.type == "cpu" and (wrong := _nan_among(scores)):
        raise InstrumentError(
            f"{type(method).__name__}.score is NaN for {wrong} of {len(scores)} tokens",
            hint="NaN is no rank; if the hidden states hold it, try another dtype",
        )


def _nan_among(scores: Tensor) -> int:
    return int(scores.isnan().sum())
