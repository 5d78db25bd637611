"""MetaCompress: learned mixtures in the place of the vision tokens (arXiv 2603.21701)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from v2drop_cli.errors import InstrumentError, ScheduleError, UsageError
from v2drop_cli.methods.base import (
    HIDDEN,
    RENUMBERED,
    DropContext,
    Kept,
    Method,
    Positions,
)
from v2drop_cli.methods.mixing import Mixing, fingerprint, load, middles
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop, Schedule

# Fitted to the embedded model by `v2drop train-metacompress`.
SHIPPED = Path(__file__).parent / "assets" / "metacompress-tiny.safetensors"
# The paper's 90 % reduction.
KEEP = 0.1


@dataclass(frozen=True)
class MetaCompress(Method):
    """``X_out = P · X``: each output token is a learned mixture of all n projected tokens.

    ``P = rowsoftmax(X_q · diag(β) · X_kᵀ / √d)``, ``X_q = AvgPool(X + E) · W_q`` and
    ``X_k = (X + E) · W_k``: the mixture is found from the picture alone, whatever the question.
    ``W_q``, ``W_k`` and ``β`` are learned for one model by distillation, see ``v2drop
    train-metacompress``; ``weights`` is the file it wrote. Without it there are only weights for
    the embedded model ``tiny``, which ship with this package.

    Written after the paper, there is no code. Not published, so our setting: the pooling (runs of
    tokens in sequence order, all pictures of a row together), the places ``E`` (sinusoids), the
    channels d. In the trace an output token has the position of the middle of its run; it takes in
    every token, so no sources are told.

    Cost: two products of n tokens with D·d weights, and k·n products of d channels.
    """

    name = "metacompress"
    paper = "arXiv 2603.21701"
    needs = frozenset({HIDDEN})
    positions: Positions = field(default=RENUMBERED, kw_only=True)
    weights: str = ""

    def __post_init__(self) -> None:
        """Refuse a file that is not there, before a model is loaded for it."""
        if self.weights and not Path(self.weights).is_file():
            raise UsageError(
                f"there are no weights of metacompress in {self.weights}",
                hint="v2drop train-metacompress DATA --model MODEL --output FILE writes them",
            )

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """One drop, of the decoder's own input, to a tenth; a budget is its count."""
        if budget is not None:
            return Schedule((Drop(0, count=round(budget)),))
        return Schedule((Drop(0, keep=KEEP),))

    def check(self, schedule: Schedule) -> None:
        """Refuse drops inside the decoder, which the weights are not fitted to.

        Raises:
            ScheduleError: there is one.
        """
        for drop in schedule.drops:
            if drop.layer:
                raise ScheduleError(
                    f"metacompress cannot drop at layer {drop.layer}: it was fitted to the "
                    "decoder's input",
                    hint="drop at layer 0, for example --schedule 0:10%",
                )

    def attach(self, model: Any, processor: Any) -> Method:
        """The same with its weights loaded.

        Raises:
            UsageError: there are none for this model.
            ModelError: the file cannot be read.
        """
        mixing, fitted_to = _read(Path(self.weights or SHIPPED))
        width = model.config.get_text_config().hidden_size
        hint = "v2drop train-metacompress DATA --model MODEL --output FILE fits them; then name "
        hint += "metacompress:weights=FILE"
        if not self.weights and fitted_to != fingerprint(model):
            raise UsageError("metacompress is learned, and has weights for tiny only", hint=hint)
        if len(mixing.query) != width:
            raise UsageError(
                f"the weights in {self.weights} are for hidden states of {len(mixing.query)}, and "
                f"this model's have {width}",
                hint=hint,
            )
        return Compressing(mixing, positions=self.positions)

    def select(self, ctx: DropContext) -> Kept:
        """Only what :meth:`attach` returns can choose.

        Raises:
            InstrumentError: always.
        """
        raise InstrumentError("metacompress has no weights before it is attached to a model")


@dataclass(frozen=True)
class Compressing(Method):
    """MetaCompress with its weights: what :meth:`MetaCompress.attach` returns.

    Attributes:
        mixing: the weights.
    """

    name = MetaCompress.name
    paper = MetaCompress.paper
    needs = MetaCompress.needs
    mixing: Mixing

    def select(self, ctx: DropContext) -> Kept:
        """``n_keep`` mixtures, each in the place of the middle token of its run."""
        states = ctx.signals.hidden()
        mixture = self.mixture(states, ctx.n_keep)
        index = middles(len(states), ctx.n_keep).to(states.device, non_blocking=True)
        return Kept(index, mixture @ states.float())

    def mixture(self, states: Tensor, count: int) -> Tensor:
        """``P [count, n]`` for states ``[n, D]``."""
        return self.mixing.to(states.device)(states, count)


def _read(path: Path) -> tuple[Mixing, str]:
    """What is in the file now: one that was fitted again has a new stamp, and is read again."""
    try:
        found = path.stat()
    except OSError:
        return load(path)  # which says what is wrong
    return _loaded(path.absolute(), (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4)
def _loaded(path: Path, stamp: tuple[int, ...]) -> tuple[Mixing, str]:
    return load(path)
